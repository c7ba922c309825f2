import { Alert, Anchor, Button, Group, SimpleGrid, Stack, Text, TextInput } from "@mantine/core";
import { IconInfoCircle } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { openClearTracking } from "@/components/ClearTracking";
import { Page, Panel } from "@/components/Page";
import { parseAddress } from "@/lib/address";
import { useMe } from "@/lib/me";

/** Clearing what was counted: of an address, of an account, of everything. */
export default function Tracking() {
  const { can } = useMe();
  const [ip, setIP] = useState("");
  const [account, setAccount] = useState("");
  const [realm, setRealm] = useState("");
  const bad = ip.trim() !== "" && !parseAddress(ip);
  const admin = can("admin");
  return (
    <Page
      title="Clear tracking"
      about="Rules count failures and other attempts. Clearing sets the counters back to zero, after a test or once an incident is over."
    >
      <Alert variant="light" color="blue" icon={<IconInfoCircle />} title="Blocks stay">
        Clearing lifts no block: who is blocked stays blocked until the block ends or somebody lifts it under{" "}
        <Anchor component={Link} to="/blocks" size="sm">
          Blocks
        </Anchor>
        . Events, sessions and the audit trail are kept, too.
      </Alert>
      {!admin && (
        <Text size="sm" c="dimmed">
          Clearing is for administrators.
        </Text>
      )}
      <SimpleGrid cols={{ base: 1, md: 3 }} spacing="lg">
        <Card
          title="An address"
          about="Its failures and attempts so far are forgotten."
          submit={() => openClearTracking({ ip: ip.trim() }, () => setIP(""))}
          disabled={!admin || !parseAddress(ip)}
          button="Clear the address…"
        >
          <TextInput
            label="Address or prefix"
            placeholder="203.0.113.9"
            value={ip}
            error={bad && "This is no IP address and no prefix."}
            onChange={(e) => setIP(e.currentTarget.value)}
          />
        </Card>
        <Card
          title="An account"
          about="What was counted against it from anywhere is forgotten."
          submit={() =>
            openClearTracking({ account: account.trim(), realm: realm.trim() || undefined }, () =>
              setAccount(""),
            )
          }
          disabled={!admin || account.trim() === ""}
          button="Clear the account…"
        >
          <TextInput
            label="Account"
            placeholder="alice"
            maxLength={256}
            value={account}
            onChange={(e) => setAccount(e.currentTarget.value)}
          />
          <TextInput
            label="Realm"
            description="As the application reports it, such as user or admin; empty if it reports none."
            maxLength={64}
            value={realm}
            onChange={(e) => setRealm(e.currentTarget.value)}
          />
        </Card>
        <Card
          title="Everything"
          about="Every counter of every address and account, and the statistics, too, if you like."
          submit={() => openClearTracking({})}
          disabled={!admin}
          button="Clear everything…"
          danger
        >
          <Text size="sm">
            An attack under way gets as many attempts again as the rules allow. You will be asked to type a
            word.
          </Text>
        </Card>
      </SimpleGrid>
    </Page>
  );
}

function Card(props: {
  title: string;
  about: string;
  children: ReactNode;
  button: string;
  disabled: boolean;
  danger?: boolean;
  submit: () => void;
}) {
  return (
    <Panel title={props.title}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          if (!props.disabled) props.submit();
        }}
      >
        <Stack gap="sm">
          <Text size="sm" c="dimmed">
            {props.about}
          </Text>
          {props.children}
          <Group>
            <Button
              type="submit"
              variant={props.danger ? "light" : "default"}
              color={props.danger ? "red" : undefined}
              disabled={props.disabled}
            >
              {props.button}
            </Button>
          </Group>
        </Stack>
      </form>
    </Panel>
  );
}

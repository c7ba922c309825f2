import { Button, Code, Group, Stack, Text, TextInput } from "@mantine/core";
import { IconSearch, IconZoomQuestion } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { api, data, Problem, type Schemas } from "@/api/client";
import { Band } from "@/components/Band";
import { Facts } from "@/components/Facts";
import { Empty, Loading, ProblemAlert } from "@/components/Feedback";
import { AccountLink, AddressLink } from "@/components/Links";
import { Page, Panel } from "@/components/Page";
import { openTrustDialog } from "@/components/TrustDialog";
import { openUnblockDialog } from "@/components/UnblockDialog";
import { When } from "@/components/When";
import { addressOf, hasPage } from "@/lib/ip";
import { useMe } from "@/lib/me";
import { referenceAnswer } from "@/lib/reference";
import { BlockDetail } from "./blocks/Detail";

/** What a blocked caller reads out: what was refused, why, and the way to put it right. */
export default function Reference() {
  const { ref } = useParams({ strict: false }) as { ref: string };
  const { can } = useMe();
  const found = useQuery({
    queryKey: ["references", ref],
    queryFn: () =>
      data<Schemas["ReferenceView"]>(api.GET("/v1/references/{ref}", { params: { path: { ref } } })),
    retry: false,
  });
  const r = found.data;
  const missing = found.error instanceof Problem && found.error.status === 404;
  const answer = r && referenceAnswer(r);
  const lifts = r?.block && r.block.state === "active" && r.block.source !== "policy" ? r.block : undefined;
  return (
    <Page
      title={`Reference ${ref.toUpperCase()}`}
      about="What somebody who was refused sees and reads out."
      actions={<Another />}
    >
      {missing ? (
        <Panel>
          <Empty icon={<IconZoomQuestion />} title="Nobody was refused under this reference">
            Check the letters with the caller: a reference has two groups of four, such as 7K3M-22QP.
            References of blocks are kept with the block, all others for 30 days.
          </Empty>
        </Panel>
      ) : found.error && !r ? (
        <ProblemAlert error={found.error} retry={() => void found.refetch()} />
      ) : !r || !answer ? (
        <Loading label="Looking the reference up" />
      ) : (
        <>
          <Band
            tone={answer.tone}
            says={answer.says}
            why={answer.why}
            todo={answer.todo}
            action={
              can("admin") ? (
                <>
                  {lifts && (
                    <Button size="sm" onClick={() => openUnblockDialog(lifts)}>
                      Unblock…
                    </Button>
                  )}
                  {r.ip && (
                    <Button size="sm" variant="default" onClick={() => openTrustDialog({ ip: r.ip })}>
                      Trust…
                    </Button>
                  )}
                </>
              ) : undefined
            }
          />
          <div className="two-columns">
            {r.block ? (
              <Panel title="The block">
                <BlockDetail block={r.block} bare />
              </Panel>
            ) : (
              <Panel title="The refusal">
                <Stack gap="md">
                  <Facts
                    items={[
                      ["Reason", r.reason],
                      ["Rule", r.rule || "–"],
                      ["Time", <When key="t" at={r.time} exactly />],
                    ]}
                  />
                  {Object.keys(r.details ?? {}).length > 0 && (
                    <Code block className="breakable" style={{ whiteSpace: "pre-wrap" }}>
                      {JSON.stringify(r.details, null, 2)}
                    </Code>
                  )}
                </Stack>
              </Panel>
            )}
            <Stack gap="lg">
              <Panel title="Whom it concerns">
                <Stack gap="xs">
                  {r.ip && (
                    <Group gap={6}>
                      <Text size="sm" c="dimmed" w={70}>
                        Address
                      </Text>
                      {hasPage(r.ip) ? (
                        <AddressLink ip={addressOf(r.ip)} label={r.ip} />
                      ) : (
                        <span className="mono">{r.ip}</span>
                      )}
                    </Group>
                  )}
                  <Group gap={6}>
                    <Text size="sm" c="dimmed" w={70}>
                      Account
                    </Text>
                    <AccountLink account={r.account} realm={r.block?.realm} />
                  </Group>
                </Stack>
              </Panel>
              <Panel title="To the caller">
                <Text size="sm">{answer.caller}</Text>
              </Panel>
            </Stack>
          </div>
        </>
      )}
    </Page>
  );
}

/** Looks up another reference without leaving the page. */
function Another() {
  const navigate = useNavigate();
  const [typed, setTyped] = useState("");
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        const ref = typed.trim().toUpperCase();
        if (!ref) return;
        setTyped("");
        void navigate({ to: "/references/$ref", params: { ref } as never });
      }}
    >
      <Group gap="xs" wrap="nowrap">
        <TextInput
          size="sm"
          w={190}
          aria-label="Another reference"
          placeholder="Another reference"
          maxLength={32}
          leftSection={<IconSearch size={14} />}
          value={typed}
          onChange={(e) => setTyped(e.currentTarget.value)}
        />
        <Button type="submit" size="sm" variant="default">
          Look up
        </Button>
      </Group>
    </form>
  );
}

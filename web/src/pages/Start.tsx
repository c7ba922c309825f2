import {
  Alert,
  Anchor,
  Button,
  Code,
  Group,
  Loader,
  Stack,
  Stepper,
  Text,
  TextInput,
  useMatches,
} from "@mantine/core";
import { IconArrowRight, IconCircleCheck, IconFlask, IconKey } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { api, data, type Schemas } from "@/api/client";
import { CodeBlock } from "@/components/CodeBlock";
import { ProblemAlert } from "@/components/Feedback";
import { AddressLink } from "@/components/Links";
import { Page, Panel } from "@/components/Page";
import { SeverityBadge } from "@/components/Severity";
import { Snippets } from "@/components/Snippets";
import { When } from "@/components/When";
import { faultAt, faultsOf } from "@/lib/faults";
import { useMe } from "@/lib/me";
import { curlEvent } from "@/lib/snippets";

/** From nothing to the first event: a key, a line to paste, and the event that arrives. */
export default function Start() {
  const { can } = useMe();
  const queries = useQueryClient();
  const [key, setKey] = useState<Schemas["NewKey"]>();
  const [since] = useState(() => new Date(Date.now() - 5_000).toISOString());
  const url = window.location.origin;
  // The page waits for what arrives from now on.
  const first = useQuery({
    queryKey: ["events", "first", since],
    queryFn: () => data(api.GET("/v1/events", { params: { query: { from: since, limit: 5 } } })),
    refetchInterval: (q) => ((q.state.data?.items.length ?? 0) > 0 ? false : 1500),
    staleTime: 0,
  });
  const events = first.data?.items ?? [];
  const arrived = events.at(-1);
  const test = useMutation({
    mutationFn: () => data(api.POST("/v1/events/test")),
    onSettled: () => queries.invalidateQueries({ queryKey: ["events"] }),
  });
  const token = key?.token ?? "YOUR_KEY";
  const wide = useMatches({ base: false, md: true });
  return (
    <Page
      title="Get started"
      about="Warder learns of sign-ins from your application. A key and one line are enough to see the first event."
    >
      <Stepper
        active={arrived ? 3 : key ? 1 : 0}
        orientation={wide ? "horizontal" : "vertical"}
        iconSize={34}
        size="sm"
        aria-label="From nothing to the first event"
        allowNextStepsSelect={false}
      >
        <Stepper.Step
          label="A key for your application"
          description={
            key ? `The key ${key.name} is made.` : "It may report events and ask for decisions, nothing else."
          }
        />
        <Stepper.Step
          label="Send the first event"
          description="From a shell, from your application, or by the button."
        />
        <Stepper.Step
          label={arrived ? "It arrived" : "Waiting for it"}
          description={arrived ? "Everything is in place." : "This page sees it as soon as it comes."}
          loading={key !== undefined && !arrived}
        />
      </Stepper>
      {can("admin") ? (
        key ? (
          <Panel title="1. The key">
            <Stack gap="sm">
              <Alert color="yellow" variant="light" icon={<IconKey />} title="It is shown this once">
                Copy it to where your application finds its secrets.
              </Alert>
              <CodeBlock code={key.token} label="the key" />
            </Stack>
          </Panel>
        ) : (
          <MakeKey onMade={setKey} />
        )
      ) : (
        <Alert variant="light" color="gray">
          An admin makes the key under Applications. In its place the lines below say <Code>{token}</Code>.
        </Alert>
      )}
      <Panel
        title="2. Send an event"
        aside={
          can("analyst") && (
            <Button
              size="xs"
              variant="default"
              leftSection={<IconFlask size={14} />}
              loading={test.isPending}
              onClick={() => test.mutate()}
            >
              Send a test event
            </Button>
          )
        }
      >
        <Stack gap="md">
          <Text size="sm">
            Paste this into a shell. It tells of one wrong password, from an address nobody has.
          </Text>
          <CodeBlock code={curlEvent(url, token)} label="the line" />
          <ProblemAlert error={test.error} />
          <Text size="sm" c="dimmed">
            Five of them within an hour, and the address is blocked, if the policy is Classic.
          </Text>
        </Stack>
      </Panel>
      <Panel title="3. What arrived">
        <div aria-live="polite">
          {first.error && !first.data ? (
            <ProblemAlert error={first.error} retry={first.refetch} />
          ) : arrived ? (
            <Stack gap="sm">
              <Group gap="xs">
                <IconCircleCheck color="var(--state-good)" />
                <Text fw={600}>The first event is here.</Text>
              </Group>
              {events.map((e) => (
                <Group key={e.id} gap="md">
                  <SeverityBadge severity={e.severity} />
                  <Text size="sm" className="mono breakable">
                    {e.name}
                  </Text>
                  <AddressLink ip={e.ip} />
                  <When at={e.arrival} />
                </Group>
              ))}
              <Group gap="xs">
                <Button component={Link} to="/" rightSection={<IconArrowRight size={16} />} size="sm">
                  To the security events
                </Button>
                <Button component={Link} to="/policy" variant="default" size="sm">
                  Look at the policy
                </Button>
              </Group>
            </Stack>
          ) : (
            <Group gap="sm">
              <Loader size="xs" />
              <Text size="sm" c="dimmed">
                Nothing yet. Waiting for the first event.
              </Text>
            </Group>
          )}
        </div>
      </Panel>
      <Panel title="In your application">
        <Stack gap="sm">
          <Snippets url={url} token={token} />
          <Text size="sm" c="dimmed">
            Nothing to change in the application? Let the proxy ask: forward authentication of nginx, Caddy,
            Traefik, Envoy and HAProxy works too. Every call is described in{" "}
            <Anchor href="/openapi.json" size="sm">
              openapi.json
            </Anchor>
            .
          </Text>
        </Stack>
      </Panel>
    </Page>
  );
}

function MakeKey({ onMade }: { onMade: (k: Schemas["NewKey"]) => void }) {
  const queries = useQueryClient();
  const [name, setName] = useState("my-app");
  const make = useMutation({
    mutationFn: () =>
      data(api.POST("/v1/keys", { body: { name: name.trim(), scopes: ["events", "check", "sessions"] } })),
    onSuccess: (k) => {
      onMade(k);
      void queries.invalidateQueries({ queryKey: ["keys"] });
    },
  });
  const faults = faultsOf(make.error);
  return (
    <Panel title="1. A key for your application">
      <form
        onSubmit={(e) => {
          e.preventDefault();
          make.mutate();
        }}
      >
        <Stack gap="sm">
          <Group align="flex-end" gap="sm">
            <TextInput
              label="Name of the application"
              value={name}
              onChange={(e) => setName(e.currentTarget.value)}
              error={faultAt(faults, "name")}
              maxLength={64}
              w={260}
            />
            <Button type="submit" loading={make.isPending} disabled={name.trim() === ""}>
              Make the key
            </Button>
          </Group>
          {!faultAt(faults, "name") && <ProblemAlert error={make.error} />}
        </Stack>
      </form>
    </Panel>
  );
}

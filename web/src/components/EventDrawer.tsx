import {
  ActionIcon,
  Alert,
  Box,
  Code,
  Drawer,
  Group,
  List,
  ScrollArea,
  SegmentedControl,
  Stack,
  Tabs,
  Text,
  Tooltip,
  UnstyledButton,
} from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { IconChevronDown, IconChevronUp } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { api, data, type Schemas } from "@/api/client";
import { reasonOf } from "@/lib/report";
import { exact, relative, timeZone } from "@/lib/time";
import { BlockButton } from "./BlockDialog";
import { DecisionWord, type Event, EventName, reasonWords } from "./EventParts";
import { Loading, ProblemAlert } from "./Feedback";
import { FilterLink } from "./FilterLink";
import { AccountLink, AddressLink, Copy } from "./Links";
import { SeverityBadge } from "./Severity";
import { UnblockButton } from "./UnblockDialog";

/**
 * One event in full, at the side of the list that it came from: what happened,
 * why it was decided so, what happened around it, and its JSON. j and k go to
 * the next and the previous of the list.
 */
export function EventDrawer(props: {
  id: string | undefined;
  list: string[];
  onOpen: (id: string | undefined) => void;
}) {
  const { id, list, onOpen } = props;
  const at = id === undefined ? -1 : list.indexOf(id);
  const next = at < 0 ? list[0] : list[at + 1];
  const before = at > 0 ? list[at - 1] : undefined;
  useHotkeys([
    ["j", () => next && onOpen(next)],
    ["k", () => before && onOpen(before)],
  ]);
  const event = useQuery({
    queryKey: ["event", id],
    queryFn: () => data(api.GET("/v1/events/{id}", { params: { path: { id: id as string } } })),
    enabled: id !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
  });
  return (
    <Drawer
      opened={id !== undefined}
      onClose={() => onOpen(undefined)}
      position="right"
      size={620}
      padding="lg"
      overlayProps={{ backgroundOpacity: 0.25 }}
      scrollAreaComponent={ScrollArea.Autosize}
      title={
        <Group gap="xs">
          <Text fw={650} tabIndex={-1} data-autofocus>
            Event
          </Text>
          <Group gap={2}>
            <Step label="Previous event (k)" icon={<IconChevronUp size={16} />} to={before} onOpen={onOpen} />
            <Step label="Next event (j)" icon={<IconChevronDown size={16} />} to={next} onOpen={onOpen} />
          </Group>
        </Group>
      }
    >
      {event.error ? (
        <ProblemAlert error={event.error} retry={() => void event.refetch()} />
      ) : !event.data ? (
        <Loading label="Loading the event" />
      ) : (
        <Full key={event.data.id} event={event.data} onOpen={onOpen} />
      )}
    </Drawer>
  );
}

function Step(props: { label: string; icon: ReactNode; to?: string; onOpen: (id: string) => void }) {
  return (
    <Tooltip label={props.label}>
      <ActionIcon
        variant="default"
        size="md"
        aria-label={props.label}
        disabled={!props.to}
        onClick={() => props.to && props.onOpen(props.to)}
      >
        {props.icon}
      </ActionIcon>
    </Tooltip>
  );
}

function Full({ event, onOpen }: { event: Event; onOpen: (id: string) => void }) {
  return (
    <Stack gap="md">
      <Stack gap={6}>
        <Group gap="sm">
          <SeverityBadge severity={event.severity} />
          <EventName name={event.name} />
        </Group>
        <Text size="sm" c="dimmed">
          {exact(event.time)} {timeZone()}, {relative(event.time)}
        </Text>
      </Stack>
      {event.ip && (
        <Group gap="xs">
          <BlockOrUnblock ip={event.ip} reason={`${event.name} at ${exact(event.time)}`} />
          <FilterLink to="/events" search={{ ip: event.ip }} size="sm">
            Everything from this address
          </FilterLink>
        </Group>
      )}
      <Tabs defaultValue="what" keepMounted={false}>
        <Tabs.List>
          <Tabs.Tab value="what">What</Tabs.Tab>
          <Tabs.Tab value="why">Why</Tabs.Tab>
          <Tabs.Tab value="around">Around it</Tabs.Tab>
          <Tabs.Tab value="json">JSON</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="what" pt="md">
          <What event={event} />
        </Tabs.Panel>
        <Tabs.Panel value="why" pt="md">
          <Explained event={event} />
        </Tabs.Panel>
        <Tabs.Panel value="around" pt="md">
          <Around event={event} onOpen={onOpen} />
        </Tabs.Panel>
        <Tabs.Panel value="json" pt="md">
          <Json value={event} label="Copy the event as JSON" />
        </Tabs.Panel>
      </Tabs>
    </Stack>
  );
}

/** What can be done about an address: block it, or lift the block that stands. */
function BlockOrUnblock({ ip, reason }: { ip: string; reason: string }) {
  const blocks = useQuery({
    queryKey: ["blocks", { state: "active", ip, limit: 1 }],
    queryFn: () => data(api.GET("/v1/blocks", { params: { query: { state: "active", ip, limit: 1 } } })),
  });
  const block = blocks.data?.items?.[0];
  if (blocks.isPending) return null;
  if (!block) return <BlockButton ip={ip} reason={reason} />;
  return (
    <>
      <FilterLink
        to="/blocks"
        search={{ block: block.id }}
        size="sm"
        c="var(--severity-critical-text)"
        fw={600}
      >
        {block.ip === ip ? "Blocked" : `Blocked with ${block.ip}`}
      </FilterLink>
      <UnblockButton block={block} />
    </>
  );
}

function Json({ value, label }: { value: unknown; label: string }) {
  const text = JSON.stringify(value, null, 2);
  return (
    <Box pos="relative">
      <Box pos="absolute" top={6} right={6}>
        <Copy value={text} label={label} />
      </Box>
      <Code block className="breakable" style={{ whiteSpace: "pre-wrap" }}>
        {text}
      </Code>
    </Box>
  );
}

/** Whether something was decided on an event: on Warder's own nothing is. */
const decided = (event: Event) => event.action && (event.app || event.action !== "allow");

/** Names and values, one below the other. */
function Rows({ rows }: { rows: [string, ReactNode][] }) {
  return (
    <Box
      component="dl"
      m={0}
      style={{ display: "grid", gridTemplateColumns: "minmax(96px, 132px) 1fr", columnGap: 16, rowGap: 8 }}
    >
      {rows
        .filter(([, value]) => value !== undefined && value !== "" && value !== null && value !== false)
        .flatMap(([name, value]) => [
          <Text component="dt" size="sm" c="dimmed" key={`${name} name`}>
            {name}
          </Text>,
          <Text component="dd" m={0} size="sm" className="breakable" key={name}>
            {value}
          </Text>,
        ])}
    </Box>
  );
}

const mono = (text: string | undefined, copy?: string) =>
  text && (
    <Group gap={4} wrap="nowrap" component="span" align="center">
      <Text span size="sm" className="mono breakable">
        {text}
      </Text>
      {copy && <Copy value={text} label={copy} />}
    </Group>
  );

function addressValue(event: Event): ReactNode {
  if (!event.ip) return "not known";
  return (
    <Group gap={4} component="span">
      <AddressLink ip={event.ip} />
      <Copy value={event.ip} label="Copy the address" />
      {event.address && event.address !== event.ip && (
        <Text span size="xs" c="dimmed">
          counted as {event.address}
        </Text>
      )}
    </Group>
  );
}

function What({ event }: { event: Event }) {
  return (
    <Stack gap="md">
      <Rows
        rows={[
          ["Address", addressValue(event)],
          ["Account", event.account && <AccountLink account={event.account} />],
          [
            "Realm",
            event.realm && (
              <FilterLink to="/events" search={{ realm: event.realm }} size="sm">
                {event.realm}
              </FilterLink>
            ),
          ],
          ["Reason", event.reason && reasonWords(event.reason)],
          ["Request", mono([event.method, event.path].filter(Boolean).join(" "))],
          ["Browser", event.user_agent],
          ["Session", mono(event.session)],
          ["Device", mono(event.device)],
          ["Source", event.known_source && "known: signed in well from there before"],
          ["Decision", decided(event) && <DecisionWord action={event.action} />],
          [
            "Rule",
            event.rule && (
              <FilterLink to="/events" search={{ rule: event.rule }} size="sm">
                {event.rule}
              </FilterLink>
            ),
          ],
          [
            "Reference",
            event.reference && (
              <FilterLink
                to={`/references/${encodeURIComponent(event.reference)}`}
                size="sm"
                className="mono"
              >
                {event.reference}
              </FilterLink>
            ),
          ],
          ["Counts", event.eligible ? "towards the rules" : "not towards the rules"],
          ["Reported by", event.app ? mono(event.app) : "Warder itself"],
          ["Arrived", event.arrival !== event.time && exact(event.arrival)],
          ["Id", mono(event.id, "Copy the id")],
        ]}
      />
      {event.details !== undefined && event.details !== null && (
        <Box>
          <Text size="sm" c="dimmed" mb={6}>
            Details
          </Text>
          <Json value={event.details} label="Copy the details" />
        </Box>
      )}
    </Stack>
  );
}

/** Why it was decided so: the block and its evidence as they were, and how the
 * matter stands now. */
function Explained({ event }: { event: Event }) {
  const why = useQuery({
    queryKey: ["explain", event.id],
    queryFn: () => data(api.GET("/v1/explain", { params: { query: { event: event.id } } })),
  });
  if (why.error) return <ProblemAlert error={why.error} retry={() => void why.refetch()} />;
  if (!why.data) return <Loading label="Loading why" />;
  const block = why.data.block;
  return (
    <Stack gap="lg">
      {decided(event) && (
        <Box>
          <Text fw={600} size="sm" mb={6}>
            When it happened
          </Text>
          <Group gap="xs">
            <DecisionWord action={event.action} />
            <Text size="sm" className="breakable">
              {[
                event.decision_reason && decisionWords(event.decision_reason),
                event.rule && `rule ${event.rule}`,
                !event.eligible && "not counted",
              ]
                .filter(Boolean)
                .join(", ")}
            </Text>
          </Group>
        </Box>
      )}
      {block && (
        <Box>
          <Text fw={600} size="sm" mb={6}>
            The block behind it
          </Text>
          <Text size="sm" className="breakable">
            {reasonOf(block) || "No reason was given"}, {block.state}, since{" "}
            {block.blocked_at && exact(block.blocked_at)}.{" "}
            <FilterLink to="/blocks" search={{ block: block.id }} size="sm" underline="always">
              Show the block
            </FilterLink>
          </Text>
          <Evidence list={block.evidence ?? []} />
        </Box>
      )}
      <Box>
        <Text fw={600} size="sm" mb={6}>
          The same request now
        </Text>
        <List type="ordered" size="sm" spacing={4}>
          {(why.data.steps ?? []).map((s) => (
            <List.Item key={s} className="breakable">
              {s}
            </List.Item>
          ))}
        </List>
        {why.data.good_accounts_14d > 0 && (
          <Alert mt="sm" p="xs" color="yellow" variant="light">
            <Text size="sm">
              {why.data.good_accounts_14d} account{why.data.good_accounts_14d === 1 ? "" : "s"} signed in well
              from this address in the last 14 days.
            </Text>
          </Alert>
        )}
      </Box>
    </Stack>
  );
}

const decisionWords = (reason: string) =>
  ({
    threshold_exceeded: "the threshold was reached with it",
    blocked: "a block stood",
    trusted: "the address is trusted",
    disabled: "switched off",
    session_revoked: "its session had been ended",
  })[reason] ?? reason.replaceAll("_", " ");

function Evidence({ list }: { list: Schemas["Evidence"][] }) {
  if (list.length === 0) return null;
  return (
    <Stack
      gap="xs"
      mt="sm"
      component="ol"
      p={0}
      pl="sm"
      style={{ borderLeft: "2px solid var(--surface-border)" }}
    >
      {list.map((e) => (
        <Box component="li" key={e.id} style={{ listStyle: "none" }}>
          <Group gap={8}>
            <EventName name={e.name} />
            <Text size="xs" c="dimmed" className="numeric">
              {exact(e.time)}
            </Text>
          </Group>
          <Text size="xs" c="dimmed" className="breakable">
            {[e.account, e.reason && reasonWords(e.reason), [e.method, e.path].filter(Boolean).join(" ")]
              .filter(Boolean)
              .join(" · ")}
          </Text>
        </Box>
      ))}
    </Stack>
  );
}

/** What happened just before and after: at all, or of the same address, account or session. */
function Around({ event, onOpen }: { event: Event; onOpen: (id: string) => void }) {
  const ways = [
    ...(event.ip ? [{ value: "ip", label: "Same address" }] : []),
    ...(event.account ? [{ value: "account", label: "Same account" }] : []),
    ...(event.session ? [{ value: "session", label: "Same session" }] : []),
    { value: "time", label: "All" },
  ];
  const [by, setBy] = useState(ways[0]?.value as string);
  const around = useQuery({
    queryKey: ["events", "neighbours", event.id, by],
    queryFn: () =>
      data(
        api.GET("/v1/events/{id}/neighbours", {
          params: { path: { id: event.id }, query: { by: by as "time", limit: 8 } },
        }),
      ),
  });
  const rows = around.data ? [...around.data.before, event, ...around.data.after].reverse() : [];
  return (
    <Stack gap="sm">
      <SegmentedControl size="xs" aria-label="Which events" data={ways} value={by} onChange={setBy} />
      {around.error ? (
        <ProblemAlert error={around.error} retry={() => void around.refetch()} />
      ) : !around.data ? (
        <Loading />
      ) : (
        <Stack gap={0} component="ol" p={0} m={0} aria-label="Events around this one, latest first">
          {rows.map((e) => (
            <Box component="li" key={e.id} style={{ listStyle: "none" }}>
              <UnstyledButton
                w="100%"
                px="xs"
                py={6}
                aria-current={e.id === event.id ? "true" : undefined}
                bg={e.id === event.id ? "var(--mantine-primary-color-light)" : undefined}
                style={{ borderRadius: "var(--mantine-radius-sm)" }}
                onClick={() => e.id !== event.id && onOpen(e.id)}
              >
                <Group gap="sm" wrap="nowrap" justify="space-between">
                  <Group gap="sm" wrap="nowrap" miw={0}>
                    <Box w={84} style={{ flex: "none" }}>
                      <SeverityBadge severity={e.severity} />
                    </Box>
                    <Stack gap={0} miw={0}>
                      <EventName name={e.name} />
                      <Text size="xs" c="dimmed" lineClamp={1} className="breakable">
                        {[e.account, e.ip, e.reason && reasonWords(e.reason)].filter(Boolean).join(" · ")}
                      </Text>
                    </Stack>
                  </Group>
                  <Text size="xs" c="dimmed" className="numeric" style={{ whiteSpace: "nowrap" }}>
                    {e.id === event.id ? "this one" : apart(e.time, event.time)}
                  </Text>
                </Group>
              </UnstyledButton>
            </Box>
          ))}
        </Stack>
      )}
    </Stack>
  );
}

/** How far apart two events are: "12 s before", "3 min after". */
export function apart(time: string, from: string): string {
  const ms = Date.parse(time) - Date.parse(from);
  const n = Math.abs(ms);
  if (n < 1) return "same moment";
  const size =
    n < 1000
      ? `${Math.round(n)} ms`
      : n < 120_000
        ? `${Math.round(n / 1000)} s`
        : n < 7_200_000
          ? `${Math.round(n / 60_000)} min`
          : n < 172_800_000
            ? `${Math.round(n / 3_600_000)} h`
            : `${Math.round(n / 86_400_000)} days`;
  return `${size} ${ms < 0 ? "before" : "after"}`;
}

import { Anchor, Box, Group, Stack, Text } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Schemas } from "@/api/client";
import { Strip } from "@/charts/Strip";
import type { useActivity } from "@/lib/profile";
import { severities, severityLook } from "@/lib/severity";
import { tally } from "@/lib/tally";
import { EventName, reasonWords } from "./EventParts";
import { Empty, Loading, ProblemAlert } from "./Feedback";
import { AccountLink, AddressLink } from "./Links";
import { SeverityBadge, SeverityMark } from "./Severity";
import { When } from "./When";

type Event = Schemas["EventView"];

const answered: Record<string, string> = {
  block: "refused",
  challenge: "CAPTCHA asked for",
  mfa: "second factor asked for",
};

/** When it happened, as a strip of columns. */
export function Timeline({ activity }: { activity: ReturnType<typeof useActivity> }) {
  const { trend } = activity;
  if (trend.error && !trend.data)
    return <ProblemAlert error={trend.error} retry={() => void trend.refetch()} />;
  if (!trend.data) return <Loading label="Loading the timeline" />;
  const buckets = trend.data.buckets ?? [];
  return (
    <Stack gap="xs">
      <Strip buckets={buckets} hourly={activity.hourly} label="Events over time" />
      <Group gap="md">
        {[...severities].reverse().map((s) => (
          <Group key={s} gap={5}>
            <SeverityMark severity={s} size={9} />
            <Text size="xs" c="dimmed">
              {severityLook[s].label} {buckets.reduce((n, b) => n + b[s], 0).toLocaleString("en")}
            </Text>
          </Group>
        ))}
      </Group>
    </Stack>
  );
}

/** Says that tallies count the latest 500 events, where there are more. */
export function Sample({ all }: { all: boolean }) {
  return all ? null : (
    <Text size="xs" c="dimmed">
      of the latest 500 events
    </Text>
  );
}

/** What events have in common, the most frequent first. */
export function Tallied(props: {
  events: Event[];
  by: (e: Event) => string | undefined;
  show: (key: string, sample: Event) => ReactNode;
  none: string;
  top?: number;
}) {
  const list = tally(props.events, props.by);
  const top = props.top ?? 8;
  if (list.length === 0)
    return (
      <Text size="sm" c="dimmed">
        {props.none}
      </Text>
    );
  const most = list[0]?.count ?? 1;
  return (
    <Stack gap={10}>
      {list.slice(0, top).map((t) => (
        <Box key={t.key}>
          <Group justify="space-between" gap="sm" wrap="nowrap" align="flex-start">
            <Box style={{ minWidth: 0 }} className="breakable">
              {props.show(t.key, t.sample)}
            </Box>
            <Text size="sm" className="numeric" style={{ whiteSpace: "nowrap" }}>
              {t.count.toLocaleString("en")}
              <Text span size="xs" c="dimmed">
                {t.failed > 0 ? ` · ${t.failed} failed` : ""}
                {t.refused > 0 ? ` · ${t.refused} refused` : ""}
              </Text>
            </Text>
          </Group>
          <Box mt={3} h={3} style={{ borderRadius: 2, background: "var(--surface-border)" }} aria-hidden>
            <Box
              h={3}
              style={{
                borderRadius: 2,
                width: `${(100 * t.count) / most}%`,
                background: t.failed > 0 ? "var(--severity-high)" : "var(--mantine-primary-color-filled)",
              }}
            />
          </Box>
        </Box>
      ))}
      {list.length > top && (
        <Text size="xs" c="dimmed">
          and {list.length - top} more
        </Text>
      )}
    </Stack>
  );
}

/** The latest events, a line each; the rest stands on the page of events. */
export function LatestEvents(props: {
  events: Event[];
  search: Record<string, unknown>;
  show: "account" | "ip";
}) {
  if (props.events.length === 0) return <Empty title="No events in this time" />;
  return (
    <Stack gap={0}>
      {props.events.slice(0, 12).map((e) => (
        <Box key={e.id} className="event-line" px="md" py={8}>
          <SeverityBadge severity={e.severity} />
          <Box style={{ minWidth: 0 }}>
            <Anchor
              component={Link}
              to="/events"
              search={{ ...props.search, event: e.id } as never}
              c="var(--mantine-color-text)"
              size="sm"
            >
              <EventName name={e.name} />
            </Anchor>
            <Group gap={8}>
              {props.show === "account" ? (
                e.account && <AccountLink account={e.account} realm={e.realm} />
              ) : e.ip ? (
                <AddressLink ip={e.ip} />
              ) : null}
              <Text size="xs" c="dimmed" className="breakable">
                {[
                  e.reason && reasonWords(e.reason),
                  e.action !== "allow" && `${answered[e.action] ?? e.action}${e.rule ? ` by ${e.rule}` : ""}`,
                  [e.method, e.path].filter(Boolean).join(" "),
                ]
                  .filter(Boolean)
                  .join(" · ")}
              </Text>
            </Group>
          </Box>
          <When at={e.time} dim />
        </Box>
      ))}
      <Box px="md" py={8} style={{ borderTop: "1px solid var(--surface-border)" }}>
        <Anchor component={Link} to="/events" search={props.search as never} size="sm">
          All events
        </Anchor>
      </Box>
    </Stack>
  );
}

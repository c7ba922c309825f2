import { Box, Group, SimpleGrid, Skeleton, Text } from "@mantine/core";
import type { ReactNode } from "react";
import type { Schemas } from "@/api/client";
import { Sparkline } from "@/charts/Sparkline";
import { type Bucket, total } from "@/charts/trend";
import { FilterLink } from "@/components/FilterLink";
import type { Filters } from "@/lib/filters";
import type { Search } from "@/lib/search";

type Summary = Schemas["SummaryView"];

/** What to look at first, each figure with the list behind it. */
export function Figures(props: {
  now?: Summary;
  before?: Summary;
  /** The time before, in words: "the 30 days before". */
  than: string;
  buckets?: Bucket[];
  filters: Filters;
  range?: string;
}) {
  const { now, before, buckets = [] } = props;
  const events = (more: Search = {}): Search => ({ ...props.filters, range: props.range, ...more });
  return (
    <SimpleGrid cols={{ base: 2, sm: 3, xl: 6 }} spacing="sm">
      <Figure
        name="Events"
        value={now?.events}
        to="/events"
        search={events()}
        below={change(now?.events, before?.events)}
        hint={props.than}
      >
        <Sparkline values={buckets.map((b) => total(b))} width={64} />
      </Figure>
      <Figure
        name="Critical"
        value={now?.critical}
        tone={now?.critical ? "var(--severity-critical-text)" : undefined}
        to="/events"
        search={events({ severity: "critical", not_severity: undefined })}
        below={change(now?.critical, before?.critical)}
        hint={props.than}
      >
        <Sparkline values={buckets.map((b) => b.critical)} color="var(--severity-critical)" width={64} />
      </Figure>
      <Figure
        name="High"
        value={now?.high}
        tone={now?.high ? "var(--severity-high-text)" : undefined}
        to="/events"
        search={events({ severity: "high", not_severity: undefined })}
        below={change(now?.high, before?.high)}
        hint={props.than}
      >
        <Sparkline values={buckets.map((b) => b.high)} color="var(--severity-high)" width={64} />
      </Figure>
      <Figure
        name="Suspicious addresses"
        value={now?.suspicious_addresses}
        to="/addresses"
        search={{}}
        below="seen in this time"
      />
      <Figure
        name="Blocked in this time"
        value={now?.new_blocks}
        to="/blocks"
        search={{ state: "all", range: props.range ?? "30d" }}
        below={change(now?.new_blocks, before?.new_blocks)}
        hint={props.than}
      />
      <Figure
        name="Blocked now"
        value={now?.active_blocks}
        to="/blocks"
        search={{ state: "active" }}
        below={
          now && now.unreviewed_blocks > 0 ? (
            <FilterLink
              to="/blocks"
              search={{ state: "review" }}
              size="xs"
              fw={600}
              lh="24px"
              display="inline-block"
            >
              {now.unreviewed_blocks.toLocaleString("en")} to review
            </FilterLink>
          ) : (
            "all reviewed"
          )
        }
      />
    </SimpleGrid>
  );
}

/** What changed against the time before, in few words: "+12 % vs before". */
export function change(now: number | undefined, before: number | undefined): string {
  if (now === undefined || before === undefined) return "";
  if (now === before) return "as before";
  if (before === 0) return "none before";
  if (now >= 10 * before) return `${Math.round(now / before).toLocaleString("en")} × before`;
  const p = Math.round(((now - before) / before) * 100);
  return `${p > 0 ? "+" : "−"}${Math.abs(p) || "<1"} % vs before`;
}

function Figure(props: {
  name: string;
  value?: number;
  tone?: string;
  to: string;
  search: Search;
  below: ReactNode;
  hint?: string;
  children?: ReactNode;
}) {
  return (
    <Box className="surface" px="md" py="sm" miw={0} style={{ borderRadius: "var(--mantine-radius-md)" }}>
      <Text size="xs" c="dimmed" truncate>
        {props.name}
      </Text>
      <Group justify="space-between" align="center" wrap="nowrap" gap="xs">
        {props.value === undefined ? (
          <Skeleton h={24} w={60} my={6} />
        ) : (
          <FilterLink
            to={props.to}
            search={props.search}
            label={`${props.name}: ${props.value.toLocaleString("en")}, show the list`}
            c={props.tone ?? "inherit"}
            fz={24}
            fw={650}
            lh={1.4}
            className="figure"
          >
            {props.value.toLocaleString("en")}
          </FilterLink>
        )}
        <Box visibleFrom="xs" lh={0}>
          {props.children}
        </Box>
      </Group>
      <Text component="div" size="xs" c="dimmed" mih={24} lh="24px" lineClamp={1} title={props.hint}>
        {props.below}
      </Text>
    </Box>
  );
}

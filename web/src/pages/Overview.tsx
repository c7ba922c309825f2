import { Grid, SimpleGrid, useMatches } from "@mantine/core";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import type { BucketSize } from "@/charts/trend";
import { EventDrawer } from "@/components/EventDrawer";
import { FilterChips } from "@/components/FilterChips";
import { Page } from "@/components/Page";
import { RangePicker } from "@/components/RangePicker";
import { useFilters, useSearchState } from "@/lib/search";
import { dayjs, type RangeName, rangeLabels, timeZone } from "@/lib/time";
import { useNewEvents } from "@/shell/live";
import { Attackers } from "./overview/Attackers";
import { Blocked } from "./overview/Blocked";
import { Figures } from "./overview/Figures";
import { Protection } from "./overview/Protection";
import { overviewQueries } from "./overview/queries";
import { eventColumns, Recent } from "./overview/Recent";
import { Trend } from "./overview/Trend";
import { Types } from "./overview/Types";

/** Security events: was the platform attacked, by whom, what did Warder do. */
export default function Overview() {
  const f = useFilters();
  const [search, change] = useSearchState();
  const { query, filters } = f;
  const tz = timeZone();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the zone is part of it
  const asked = useMemo(() => overviewQueries(query), [query, tz]);
  const options = { placeholderData: keepPreviousData } as const;
  const summary = useQuery({ ...asked.summary, ...options });
  const previous = useQuery({ ...asked.previous, ...options });
  const trend = useQuery({ ...asked.trend, ...options });
  const types = useQuery({ ...asked.types, ...options });
  const attackers = useQuery({ ...asked.attackers, ...options });
  const recent = useQuery({ ...asked.recent, ...options });
  const blocks = useQuery({ ...asked.blocks, ...options });
  const arrived = useNewEvents(filters, () => void recent.refetch(), { active: query.to === undefined });

  const view = (id: string | undefined) => change({ event: id });
  const narrow = useMatches({ base: true, sm: false });
  const columns = eventColumns({ onView: (e) => view(e.id), include: f.include, exclude: f.exclude, narrow });
  const range = f.range === "30d" ? undefined : f.range;
  const list = { ...filters, range };
  const shownEvents = recent.data?.items ?? [];
  return (
    <Page
      title="Security events"
      about="Who attacked, what Warder did about it, and what is left for you to decide."
      actions={<RangePicker value={f.range} onChange={f.setRange} />}
    >
      <Protection />
      <FilterChips filters={filters} remove={f.remove} clear={f.clear} />
      <Figures
        now={summary.data}
        before={previous.data}
        than={`Compared with ${f.range in rangeLabels ? `the ${rangeLabels[f.range as RangeName]}` : "the same time"} before`}
        buckets={trend.data?.buckets}
        filters={filters}
        range={range}
      />
      <Grid gap="md">
        <Grid.Col span={{ base: 12, lg: 8 }}>
          <Trend
            buckets={trend.data?.buckets}
            size={(trend.data?.bucket ?? "day") as BucketSize}
            note={
              trend.data?.sampled
                ? `Counted since ${dayjs(trend.data.counted_since).tz(tz).format("D MMM HH:mm")} only.`
                : undefined
            }
            filters={filters}
            setFilters={f.set}
            setRange={f.setRange}
          />
        </Grid.Col>
        <Grid.Col span={{ base: 12, lg: 4 }}>
          <Types slices={types.data?.items} filters={filters} setFilters={f.set} />
        </Grid.Col>
      </Grid>
      <Recent
        events={recent.data?.items}
        error={recent.error}
        retry={() => void recent.refetch()}
        arrived={arrived}
        columns={columns}
        onView={(e) => view(e.id)}
        search={list}
        filtered={Object.keys(filters).length > 0}
      />
      <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="md">
        <Attackers
          rows={attackers.data?.items}
          error={attackers.error}
          retry={() => void attackers.refetch()}
          search={list}
        />
        <Blocked rows={blocks.data?.items} error={blocks.error} retry={() => void blocks.refetch()} />
      </SimpleGrid>
      <EventDrawer
        id={typeof search.event === "string" ? search.event : undefined}
        onOpen={view}
        list={shownEvents.map((e) => e.id)}
      />
    </Page>
  );
}

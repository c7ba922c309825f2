import { Box, Skeleton, Text, useMatches } from "@mantine/core";
import {
  type InfiniteData,
  keepPreviousData,
  useInfiniteQuery,
  useQuery,
  useQueryClient,
} from "@tanstack/react-query";
import { api, data, type Schemas } from "@/api/client";
import { ChartFrame } from "@/charts/ChartFrame";
import { shown } from "@/charts/legend";
import { TrendChart } from "@/charts/TrendChart";
import { type BucketSize, summary as inWords, trendTable } from "@/charts/trend";
import { DataTable } from "@/components/DataTable";
import { EventDrawer } from "@/components/EventDrawer";
import type { Event } from "@/components/EventParts";
import { ExportMenu } from "@/components/ExportMenu";
import { FilterChips } from "@/components/FilterChips";
import { Page, Panel } from "@/components/Page";
import { RangePicker } from "@/components/RangePicker";
import { ViewsMenu } from "@/components/ViewsMenu";
import { useFilters, useSearchState } from "@/lib/search";
import { severities } from "@/lib/severity";
import { exact, timeZone } from "@/lib/time";
import { useNewEvents } from "@/shell/live";
import { FilterBar } from "./events/FilterBar";
import { eventColumns, NewEvents, NoEvents } from "./overview/Recent";

type List = Schemas["EventList"];

/** Every event, by any filter, with what lies behind each. */
export default function Events() {
  const f = useFilters();
  const [search, change] = useSearchState();
  const queries = useQueryClient();
  const { query, filters } = f;
  const tz = timeZone();
  const { severity: _s, not_severity: _ns, ...anySeverity } = query;
  const { name: _n, not_name: _nn, ...anyName } = query;
  const key = ["events", "list", query];
  const list = useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam }) =>
      data(api.GET("/v1/events", { params: { query: { ...query, limit: 50, cursor: pageParam } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next,
    placeholderData: keepPreviousData,
  });
  const count = useQuery({
    queryKey: ["stats", "summary", query],
    queryFn: () => data(api.GET("/v1/stats/summary", { params: { query } })),
    placeholderData: keepPreviousData,
  });
  const trend = useQuery({
    queryKey: ["stats", "trend", anySeverity, tz],
    queryFn: () =>
      data(api.GET("/v1/stats/trend", { params: { query: { ...anySeverity, bucket: "auto", tz } } })),
    placeholderData: keepPreviousData,
  });
  const types = useQuery({
    queryKey: ["stats", "types", anyName],
    queryFn: () => data(api.GET("/v1/stats/types", { params: { query: anyName } })),
    placeholderData: keepPreviousData,
  });
  // New rows come in at the first part: later parts are asked for again when wanted.
  const merge = async () => {
    queries.setQueryData(
      key,
      (before: InfiniteData<List, string | undefined> | undefined) =>
        before && { pages: before.pages.slice(0, 1), pageParams: before.pageParams.slice(0, 1) },
    );
    await list.refetch();
  };
  const arrived = useNewEvents(filters, () => void merge(), { active: query.to === undefined, long: true });

  const rows = list.data?.pages.flatMap((p) => p.items ?? []);
  const searched = list.data?.pages.at(-1)?.searched_to;
  const view = (id: string | undefined) => change({ event: id }, typeof search.event === "string");
  const narrow = useMatches({ base: true, sm: false });
  const columns = eventColumns({ onView: (e) => view(e.id), include: f.include, exclude: f.exclude, narrow });
  const size = (trend.data?.bucket ?? "day") as BucketSize;
  const buckets = trend.data?.buckets;
  const series = severities.filter((s) => shown(filters, "severity", s));
  const of = count.data?.events;
  return (
    <Page
      title="Events"
      about="Everything that applications reported and Warder did, latest first."
      actions={
        <>
          <RangePicker value={f.range} onChange={f.setRange} />
          <ViewsMenu page="events" />
          <ExportMenu what="events" query={joined(query)} />
        </>
      }
    >
      <FilterBar filters={filters} setFilters={f.set} types={types.data?.items ?? []} />
      <FilterChips filters={filters} remove={f.remove} clear={f.clear} />
      <Panel>
        {!buckets ? (
          <Skeleton h={176} />
        ) : (
          <ChartFrame
            height={140}
            summary={inWords(buckets, size, series)}
            table={trendTable(buckets, size, tz)}
          >
            <TrendChart
              buckets={buckets}
              size={size}
              series={series}
              height={140}
              onZoom={(from, to) => f.setRange(`${from}..${to}`)}
              onOpen={(from, to) => f.setRange(`${from}..${to}`)}
            />
          </ChartFrame>
        )}
      </Panel>
      <Panel
        pad={false}
        title={
          rows && (
            <Text span size="sm" fw={500} data-shown>
              Showing {rows.length.toLocaleString("en")}
              {of !== undefined && list.hasNextPage && of > rows.length && ` of ${of.toLocaleString("en")}`}{" "}
              {rows.length === 1 && !list.hasNextPage ? "event" : "events"}
              {count.data?.sampled && list.hasNextPage && " at least"}
            </Text>
          )
        }
        aside={<NewEvents text={arrived.text} onTake={arrived.take} />}
      >
        <DataTable<Event>
          label="Events"
          columns={columns}
          rows={rows}
          id={(e) => e.id}
          error={list.error}
          retry={() => void list.refetch()}
          onOpen={(e) => view(e.id)}
          more={list.hasNextPage ? () => void list.fetchNextPage() : undefined}
          loadingMore={list.isFetchingNextPage}
          minWidth={narrow ? 300 : 940}
          fixed
          bare={narrow}
          empty={<NoEvents filtered={Object.keys(filters).length > 0} />}
        />
        {searched && (
          <Box px="md" pb="sm">
            <Text size="xs" c="dimmed" ta="center">
              Searched back to {exact(searched)}. Show more goes on from there.
            </Text>
          </Box>
        )}
      </Panel>
      <EventDrawer
        id={typeof search.event === "string" ? search.event : undefined}
        onOpen={view}
        list={(rows ?? []).map((e) => e.id)}
      />
    </Page>
  );
}

/** The query with its lists as the API takes them: separated by commas. */
const joined = (query: object) =>
  Object.fromEntries(Object.entries(query).map(([k, v]) => [k, Array.isArray(v) ? v.join(",") : v]));

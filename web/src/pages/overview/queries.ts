import { queryOptions } from "@tanstack/react-query";
import { api, data } from "@/api/client";
import { whoIsSignedIn } from "@/lib/me";
import { queries } from "@/lib/queries";
import { type EventQuery, queryOf, type Search } from "@/lib/search";
import { dayjs, timeZone } from "@/lib/time";

/** Everything that Security events asks for. */
export function overviewQueries(query: EventQuery) {
  const tz = timeZone();
  // The severities of the trend and the types of the ring are all fetched: what
  // the filters hide stays in the legend with its count.
  const { severity: _s, not_severity: _ns, ...anySeverity } = query;
  const { name: _n, not_name: _nn, ...anyName } = query;
  // As long a time before it; up to this minute, so that it is the same query
  // when it is asked again.
  const end = dayjs(query.from);
  const length = dayjs(query.to ?? dayjs().startOf("minute")).diff(end);
  const before = { ...query, from: end.subtract(length, "millisecond").toISOString(), to: end.toISOString() };
  return {
    summary: queryOptions({
      queryKey: ["stats", "summary", query],
      queryFn: () => data(api.GET("/v1/stats/summary", { params: { query } })),
    }),
    trend: queryOptions({
      queryKey: ["stats", "trend", anySeverity, tz],
      queryFn: () =>
        data(api.GET("/v1/stats/trend", { params: { query: { ...anySeverity, bucket: "auto", tz } } })),
    }),
    types: queryOptions({
      queryKey: ["stats", "types", anyName],
      queryFn: () => data(api.GET("/v1/stats/types", { params: { query: anyName } })),
    }),
    recent: queryOptions({
      queryKey: ["events", "recent", query],
      queryFn: () => data(api.GET("/v1/events", { params: { query: { ...query, limit: 12 } } })),
    }),
    previous: queryOptions({
      queryKey: ["stats-before", "summary", before],
      queryFn: () => data(api.GET("/v1/stats/summary", { params: { query: before } })),
      staleTime: 60_000,
    }),
    attackers: queryOptions({
      queryKey: ["stats", "attackers", query],
      queryFn: () => data(api.GET("/v1/stats/attackers", { params: { query: { ...query, limit: 8 } } })),
    }),
    blocks: queryOptions({
      queryKey: ["blocks", { state: "active", limit: 8 }],
      queryFn: () => data(api.GET("/v1/blocks", { params: { query: { state: "active", limit: 8 } } })),
    }),
  };
}

/** How long the page waits for what it shows before it draws itself without: to
 * draw twice takes longer than the answers usually do. */
const patience = 250; // milliseconds

/** Asks for what the page shows before the page, or the frame around it, is drawn. */
export async function loadOverview(search: Search) {
  try {
    await queries.ensureQueryData(whoIsSignedIn);
  } catch {
    return; // the frame says why
  }
  const q = overviewQueries(queryOf(search));
  await Promise.race([
    Promise.all([
      queries.prefetchQuery(q.summary),
      queries.prefetchQuery(q.trend),
      queries.prefetchQuery(q.types),
      queries.prefetchQuery(q.recent),
      queries.prefetchQuery(q.previous),
      queries.prefetchQuery(q.attackers),
      queries.prefetchQuery(q.blocks),
    ]),
    new Promise((resolve) => setTimeout(resolve, patience)),
  ]);
}

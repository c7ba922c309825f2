import { useQuery } from "@tanstack/react-query";
import { api, data, type Schemas } from "@/api/client";
import type { Filters } from "./filters";
import { type Span, timeZone } from "./time";

type Event = Schemas["EventView"];

/** The trend and the latest 500 events of an address or account within a range. */
export function useActivity(of: Filters | Record<string, string | undefined>, range: string, span: Span) {
  const hourly = range === "1h" || range === "24h";
  const trend = useQuery({
    queryKey: ["stats", "trend", of, span, hourly],
    queryFn: () =>
      data<Schemas["TrendView"]>(
        api.GET("/v1/stats/trend", {
          params: { query: { ...of, ...span, bucket: hourly ? "hour" : "day", tz: timeZone() } as never },
        }),
      ),
  });
  const events = useQuery({
    queryKey: ["events", "latest", of, span],
    queryFn: () =>
      data<Schemas["EventList"]>(
        api.GET("/v1/events", { params: { query: { ...of, ...span, limit: 500 } as never } }),
      ),
  });
  return { trend, events, latest: (events.data?.items ?? []) as Event[], all: !events.data?.next, hourly };
}

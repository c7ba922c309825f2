import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useMemo } from "react";
import type { paths } from "@/api/schema";
import { type Filters, fields, readFilters, toQuery, withFilter, withoutFilter } from "./filters";
import { span, timeZone } from "./time";

export type Search = Record<string, string | string[] | undefined>;

/** The search parameters of the page, and a way to change some of them. What
 * is set to undefined or "" disappears from the URL. */
export function useSearchState(): [Search, (change: Search, replace?: boolean) => void] {
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const change = useCallback(
    (next: Search, replace = false) => {
      void navigate({
        to: ".",
        search: ((before: Search) => ({ ...before, ...next })) as never,
        replace,
      });
    },
    [navigate],
  );
  return [search, change];
}

/** The range and the filters of a page, as they stand in its URL, and as the
 * API's query: the same object for lists, charts, exports and bulk actions. */
export type EventQuery = Omit<
  NonNullable<paths["/v1/events"]["get"]["parameters"]["query"]>,
  "limit" | "cursor"
>;

/** The query of a page with these search parameters, as useFilters has it. */
export const queryOf = (search: Search): EventQuery => ({
  ...toQuery(readFilters(search)),
  ...span(typeof search.range === "string" ? search.range : "30d"),
});

export function useFilters<Q = EventQuery>(names: readonly string[] = fields, defaultRange = "30d") {
  const [search, change] = useSearchState();
  const range = typeof search.range === "string" ? search.range : defaultRange;
  const key = JSON.stringify(search);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the search is compared by its text
  const filters = useMemo(() => readFilters(search, names), [key]);
  // A relative range moves with time, but a query must keep its key for a minute.
  const minute = Math.floor(Date.now() / 60_000);
  // biome-ignore lint/correctness/useExhaustiveDependencies: minute makes it move
  const query = useMemo(
    () => ({ ...toQuery(filters), ...span(range) }) as Q,
    [filters, range, minute, timeZone()],
  );
  const set = (next: Filters) => {
    const cleared = Object.fromEntries(Object.keys(filters).map((k) => [k, undefined]));
    change({ ...cleared, ...next });
  };
  return {
    range,
    filters,
    query,
    setRange: (r: string) => change({ range: r === defaultRange ? undefined : r }),
    set,
    include: (field: string, value: string) => set(withFilter(filters, field, value)),
    exclude: (field: string, value: string) => set(withFilter(filters, field, value, true)),
    remove: (name: string, value: string) => set(withoutFilter(filters, name, value)),
    clear: () => set({}),
  };
}

import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { Schemas } from "@/api/client";
import { shown } from "@/charts/legend";
import { parseAddress } from "@/lib/address";
import type { Filters } from "@/lib/filters";

export type LiveEvent = Schemas["EventView"];
export type LiveState = "connecting" | "live" | "away";

/** Which queries a message of the stream makes out of date, by the resource
 * that their key begins with. Lists of events are not among them: they take
 * new rows when nobody is at them, see useNewEvents. */
export const touches: Record<string, string[]> = {
  event: ["stats", "ips", "addresses", "accounts", "sessions"],
  block: ["blocks", "stats", "ips", "addresses", "accounts", "sessions"],
  block_end: ["blocks", "stats", "ips", "addresses", "accounts"],
  demand: ["demands", "stats"],
  policy: ["policy", "readyz", "trusted"],
  reset: [
    "stats",
    "ips",
    "addresses",
    "accounts",
    "sessions",
    "blocks",
    "demands",
    "policy",
    "readyz",
    "trusted",
    "events",
  ],
};

/** Resources of which lists are shown: they wait while somebody is at a row. */
const charts = new Set(["stats", "readyz", "policy"]);

const pace = 2_000; // milliseconds between two refreshes during an attack

/** Whether an event belongs to a list with these filters. undefined: the filter
 * is one that only the database can tell. */
export function matches(event: LiveEvent, filters: Filters): boolean | undefined {
  let certain = true;
  for (const field of ["name", "severity", "realm", "rule", "reason", "action"] as const) {
    if (!shown(filters, field, event[field] ?? "")) return false;
  }
  const account = filters.account?.[0]?.trim().toLowerCase();
  if (account !== undefined && event.account?.trim().toLowerCase() !== account) return false;
  if (filters.ip?.[0] !== undefined && !covers(filters.ip[0], event.ip)) return false;
  if (filters.not_ip?.some((ip) => covers(ip, event.ip))) return false;
  if (filters.not_account?.[0] !== undefined && filters.not_account[0] === event.account) return false;
  if (filters.q?.length) certain = false;
  return certain ? true : undefined;
}

function covers(prefix: string, ip: string | undefined): boolean {
  const p = parseAddress(prefix);
  const a = ip === undefined ? undefined : parseAddress(ip);
  if (!p || !a || p.family !== a.family || a.bits < p.bits) return false;
  const size = p.family === 4 ? 8 : 16;
  return p.groups.every((g, i) => {
    const kept = Math.min(Math.max(p.bits - i * size, 0), size);
    return (g ^ (a.groups[i] as number)) >> (size - kept) === 0;
  });
}

/** What arrived and is not shown yet. */
export type Arrivals = { ids: Set<string>; critical: number; certain: boolean };
export const nothing: Arrivals = { ids: new Set(), critical: 0, certain: true };

/** Adds an event to what arrived, once, if the filters let it through. */
export function arrive(before: Arrivals, event: LiveEvent, filters: Filters): Arrivals {
  const match = matches(event, filters);
  if (match === false || before.ids.has(event.id)) return before;
  return {
    ids: new Set([...before.ids, event.id]),
    critical: before.critical + (event.severity === "critical" ? 1 : 0),
    certain: before.certain && match === true,
  };
}

/** What is said of it: "12 new events, 1 critical". */
export function announced(a: Arrivals): string {
  if (a.ids.size === 0) return "";
  if (!a.certain) return "New events";
  const n = a.ids.size.toLocaleString("en");
  return `${n} new event${a.ids.size === 1 ? "" : "s"}${a.critical > 0 ? `, ${a.critical} critical` : ""}`;
}

type Listener = (event: LiveEvent) => void;

/** The one connection of the page to the stream of events. */
class Live {
  private source?: EventSource;
  private state: LiveState = "connecting";
  private readonly watchers = new Set<() => void>();
  private readonly listeners = new Set<Listener>();
  private readonly due = new Set<string>();
  private timer?: ReturnType<typeof setTimeout>;
  private again?: ReturnType<typeof setTimeout>;
  private tries = 0;
  private last = "";

  /** Connects, and returns how to disconnect. */
  start(queries: QueryClient): () => void {
    const open = () => {
      const source = new EventSource(
        this.last ? `/v1/stream?last_event_id=${encodeURIComponent(this.last)}` : "/v1/stream",
      );
      this.source = source;
      source.onopen = () => {
        if (this.state === "away") this.touch(queries, "reset");
        this.tries = 0;
        this.set("live");
      };
      source.onerror = () => {
        this.set("away");
        // The browser comes back by itself, with Last-Event-ID, unless it was
        // answered with an error: then it is tried again here, ever more slowly.
        if (source.readyState !== EventSource.CLOSED) return;
        if (this.tries++ > 0) this.last = "";
        clearTimeout(this.again);
        this.again = setTimeout(open, Math.min(30_000, 1_000 * 2 ** this.tries));
      };
      for (const kind of Object.keys(touches)) {
        source.addEventListener(kind, (e) => {
          this.last = e.lastEventId;
          this.touch(queries, kind);
          if (kind !== "event") return;
          try {
            const event = JSON.parse(e.data) as LiveEvent;
            for (const listener of this.listeners) listener(event);
          } catch {
            // A message that is no JSON is none of ours.
          }
        });
      }
    };
    open();
    return () => {
      clearTimeout(this.timer);
      clearTimeout(this.again);
      this.timer = undefined;
      this.source?.close();
    };
  }

  private touch(queries: QueryClient, kind: string) {
    for (const resource of touches[kind] ?? []) this.due.add(resource);
    this.timer ??= setTimeout(() => this.refresh(queries), 300);
  }

  private refresh(queries: QueryClient) {
    const held = atRow();
    const now = [...this.due].filter((r) => !held || charts.has(r));
    for (const r of now) this.due.delete(r);
    if (now.length > 0)
      void queries.invalidateQueries({ predicate: (q) => now.includes(String(q.queryKey[0])) });
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (this.due.size > 0) this.refresh(queries);
    }, pace);
  }

  private set(state: LiveState) {
    if (this.state === state) return;
    this.state = state;
    for (const w of this.watchers) w();
  }

  readonly watch = (w: () => void) => {
    this.watchers.add(w);
    return () => void this.watchers.delete(w);
  };
  readonly current = () => this.state;

  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }
}

const live = new Live();

/** Whether somebody is at a row of a list: with the pointer, the keyboard or a selection. */
export function atRow(): boolean {
  if (document.querySelector("[data-row]:hover, [data-row]:focus-within, [role=dialog]")) return true;
  const selected = window.getSelection();
  return !!selected && !selected.isCollapsed;
}

/** Keeps the connection while the frame is on the screen. */
export function useLiveConnection() {
  const queries = useQueryClient();
  useEffect(() => live.start(queries), [queries]);
}

export const useLiveState = () => useSyncExternalStore(live.watch, live.current);

/**
 * Counts events that arrive for a list with these filters. While nobody is at a
 * row, and of a long list only while its beginning is on the screen, `merge` is
 * called by itself; otherwise the page offers it.
 */
export function useNewEvents(
  filters: Filters,
  merge: () => void,
  options: { active?: boolean; long?: boolean } = {},
) {
  const { active = true, long = false } = options;
  const [arrivals, setArrivals] = useState(nothing);
  const latest = useRef({ filters, merge });
  latest.current = { filters, merge };
  const key = JSON.stringify(filters);
  // biome-ignore lint/correctness/useExhaustiveDependencies: other filters, other arrivals
  useEffect(() => {
    setArrivals(nothing);
    if (!active) return;
    return live.listen((event) => setArrivals((before) => arrive(before, event, latest.current.filters)));
  }, [key, active]);
  const take = useCallback(() => {
    setArrivals(nothing);
    latest.current.merge();
  }, []);
  const waiting = arrivals.ids.size > 0;
  useEffect(() => {
    if (!waiting) return;
    const timer = setInterval(() => {
      if (!atRow() && !(long && window.scrollY > 400)) take();
    }, pace);
    return () => clearInterval(timer);
  }, [waiting, take, long]);
  return { text: announced(arrivals), take };
}

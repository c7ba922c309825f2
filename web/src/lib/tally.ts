import type { Schemas } from "@/api/client";

type Event = Schemas["EventView"];

export type Tally = {
  key: string;
  count: number;
  failed: number;
  refused: number;
  last: string;
  sample: Event;
};

/** Counts events by something, the most frequent first: the accounts that an
 * address tried, the addresses that an account came from. */
export function tally(events: Event[], by: (e: Event) => string | undefined): Tally[] {
  const found = new Map<string, Tally>();
  for (const e of events) {
    const key = by(e);
    if (!key) continue;
    let t = found.get(key);
    if (!t) {
      t = { key, count: 0, failed: 0, refused: 0, last: e.time, sample: e };
      found.set(key, t);
    }
    t.count++;
    if (e.name.endsWith("_FAILURE")) t.failed++;
    if (e.action === "block") t.refused++;
    if (e.time > t.last) t.last = e.time;
  }
  return [...found.values()].sort((a, b) => b.count - a.count || (a.last < b.last ? 1 : -1));
}

/** "USER_LOGIN_FAILURE" as people read it: "User login failure". */
export function humanName(name: string): string {
  const text = name.toLowerCase().replaceAll("_", " ");
  const upper = text.replace(/\b(ip|mfa|api|smpp|csp)\b/g, (w) => w.toUpperCase());
  return upper.charAt(0).toUpperCase() + upper.slice(1);
}

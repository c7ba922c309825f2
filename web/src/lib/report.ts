import type { Schemas } from "@/api/client";
import type { Block } from "./blocks";
import { dayjs, duration } from "./time";
import { straight } from "./words";

/** What a block stands on, in words: an address, an account, a session. */
export function subjectOf(b: Pick<Block, "ip" | "account" | "realm" | "session">): string {
  const parts: string[] = [];
  if (b.account) parts.push(straight(b.realm ? `${b.account} (${b.realm})` : b.account));
  if (b.session) parts.push(`session ${b.session}`);
  if (b.ip) parts.push(parts.length > 0 ? `from ${b.ip}` : b.ip);
  return parts.join(" ") || "everything";
}

/** "2 h 13 min left", "until lifted"; "" once it has ended. */
export function remaining(b: Pick<Block, "state" | "until">, now = Date.now()): string {
  if (b.state !== "active" && b.state !== "observed") return "";
  if (!b.until) return "until lifted";
  const left = Math.max(0, Math.round((dayjs(b.until).valueOf() - now) / 1000));
  return left === 0 ? "ends now" : `${span(left)} left`;
}

/** "2 days 4 h": a length of time in its two largest units. */
export function span(seconds: number): string {
  const units: [number, string][] = [
    [86400, "day"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const first = units.findIndex(([size]) => seconds >= size);
  if (first < 0) return "0 s";
  let left = Math.floor(seconds);
  return units
    .slice(first, first + 2)
    .map(([size, name]) => {
      const n = Math.floor(left / size);
      left -= n * size;
      return n === 0 ? "" : `${n} ${name === "day" && n !== 1 ? "days" : name}`;
    })
    .filter(Boolean)
    .join(" ");
}

/** When a block ended or will end; undefined: when somebody lifts it. */
export const endOf = (b: Pick<Block, "lifted_at" | "ended_at" | "until">) =>
  b.lifted_at ?? b.ended_at ?? b.until ?? undefined;

/** "5 in 1 h": the threshold that was crossed, if a rule made the block. */
export const crossing = (b: Pick<Block, "threshold" | "window">) =>
  b.threshold ? `${b.threshold} in ${duration(b.window ?? 0)}` : "";

/** Why there is a block, in words: the rule and its threshold, or what a person wrote. */
export function reasonOf(b: Pick<Block, "source" | "rule" | "reason" | "threshold" | "window">): string {
  if (b.source !== "rule" || !b.rule) return b.reason ?? "";
  const c = crossing(b);
  return c ? `rule ${b.rule}, ${c}` : `rule ${b.rule}`;
}

export const verdicts: Record<string, string> = { error: "a mistake", resolved: "resolved" };
export const sources: Record<string, string> = {
  rule: "Automatic",
  manual: "By hand",
  policy: "Policy",
  import: "Import",
};

/** What the bulk lift of the API can select by; the rest of the list's filter has no counterpart. */
export type LiftFilter = Schemas["LiftFilter"];

/** The list's filter as the filter of a bulk lift. Undefined if the list shows
 * what lifting cannot select (ended or observed blocks, those of the policy). */
export function liftFilter(query: Record<string, string | undefined>): LiftFilter | undefined {
  const state = query.state ?? "all";
  if (state !== "active" && state !== "all") return undefined;
  if (query.source === "policy") return undefined;
  const out: LiftFilter = {};
  if (query.from) out.from = query.from;
  if (query.to) out.to = query.to;
  if (query.ip) out.within = query.ip;
  if (query.account) out.account = query.account;
  if (query.rule) out.rule = query.rule;
  if (query.event) out.event = query.event;
  if (query.source) out.source = query.source as LiftFilter["source"];
  if (query.reviewed) out.reviewed = query.reviewed === "true";
  if (query.q) out.q = query.q;
  return out;
}

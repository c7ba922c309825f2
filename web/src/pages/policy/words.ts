import { inWords } from "@/lib/duration";
import type { Action, Doc, DraftRule, Mode, RuleSpec } from "./draft";
import { modeOf, same } from "./draft";

export const keys = [
  { value: "ip", label: "Address", each: "one address" },
  { value: "account", label: "Account", each: "one account" },
  { value: "ip+account", label: "Account from an address", each: "one account from one address" },
  { value: "session", label: "Session", each: "one session" },
  { value: "realm", label: "Realm (part of the platform)", each: "one realm" },
];
export const distincts = [
  { value: "", label: "Every attempt" },
  { value: "account", label: "Different accounts" },
  { value: "ip", label: "Different addresses" },
  { value: "path", label: "Different paths" },
];
export const actionWords: Record<string, string> = {
  challenge: "CAPTCHA",
  mfa: "MFA",
  block: "Block",
  allow: "Allow",
};
export const modeWords: Record<Mode, string> = { off: "Off", observe: "Observe", enforce: "Enforce" };
export const exceptions = [
  { value: "cross_site", label: "Requests that another site caused" },
  { value: "recent_session", label: "Whoever had a valid session within 24 hours" },
];
export const whens: { value: string; label: string; unit: string; about: string }[] = [
  {
    value: "previous_blocks",
    label: "Blocked before",
    unit: "blocks",
    about: "Automatic blocks of this address. Those that somebody lifted do not count.",
  },
  {
    value: "failures",
    label: "Failed attempts",
    unit: "failures",
    about: "Failed sign-ins from this address, of any account.",
  },
  {
    value: "marked_fraudulent",
    label: "Marked as fraudulent",
    unit: "mark",
    about: "Somebody marked this address as fraudulent on its page.",
  },
];

/** How long the result of a rule lasts, in words. */
export function lasting(r: Pick<DraftRule, "cooling_period" | "escalate" | "key">): string {
  if (r.key === "session") return "for good";
  if ((r.escalate ?? []).length > 0) return (r.escalate ?? []).map((s) => short(s)).join(", then ");
  if (r.cooling_period === undefined) return "";
  return r.cooling_period === 0 ? "until lifted" : `for ${inWords(r.cooling_period)}`;
}
const short = (s: number) => (s === 0 ? "until lifted" : inWords(s));

/** A rule in one sentence: "5 attempts within 1 hour by one address: block until lifted". */
export function sentence(r: DraftRule | RuleSpec): string {
  const what = r.distinct
    ? `${r.threshold ?? "?"} ${distincts.find((d) => d.value === r.distinct)?.label.toLowerCase() ?? r.distinct}`
    : `${r.threshold ?? "?"} ${r.threshold === 1 ? "event" : "events"}`;
  const by = keys.find((k) => k.value === r.key)?.each ?? r.key;
  const verb = { challenge: "show a CAPTCHA", mfa: "ask for MFA", block: "block", allow: "allow" }[r.action];
  const then = r.key === "session" ? "end the session" : `${verb} ${lasting(r)}`.trim();
  return `${what} within ${inWords(r.time_range ?? 0)} by ${by}: ${then}`;
}

/** What two policies differ in, in words, for people who will not read YAML. */
export function changes(before: Doc, after: Doc): string[] {
  const out: string[] = [];
  const say = (what: string, a: unknown, b: unknown) => {
    if (!same(a, b)) out.push(`${what}: ${show(a)} → ${show(b)}`);
  };
  say("Mode", modeWords[modeOf(before)], modeWords[modeOf(after)]);
  list(out, "Trusted addresses", before.trusted ?? [], after.trusted ?? []);
  list(
    out,
    "Blocked addresses",
    (before.blocked ?? []).map((b) => b.ip),
    (after.blocked ?? []).map((b) => b.ip),
  );
  keyed(
    before.blocked,
    after.blocked,
    (b) => b.ip,
    (ip, a, b) => {
      if (a && b && !same(a, b)) out.push(`Blocked address ${ip}: reason or end changed`);
    },
  );
  say("Activity event criteria", onOff(before.activity.enabled), onOff(after.activity.enabled));
  keyed(
    before.activity.rules,
    after.activity.rules,
    (r) => r.id,
    (id, a, b) => {
      if (!a && b) out.push(`Rule ${id} added: ${sentence(b)}`);
      else if (a && !b) out.push(`Rule ${id} deleted`);
      else if (a && b) fields(out, `Rule ${id}`, ruleView(a), ruleView(b));
    },
  );
  const common = (x: Doc, y: Doc) => {
    const ids = new Set((y.activity.rules ?? []).map((r) => r.id));
    return (x.activity.rules ?? []).map((r) => r.id).filter((id) => ids.has(id));
  };
  if (!same(common(before, after), common(after, before))) out.push("Order of the rules changed");
  say("Previous criteria check", onOff(before.history.enabled), onOff(after.history.enabled));
  if (before.history.lookback !== after.history.lookback)
    out.push(
      `Previous criteria look back: ${inWords(before.history.lookback ?? 0)} → ${inWords(after.history.lookback ?? 0)}`,
    );
  const criterion = (c: { when: string; at_least: number; action: string }) =>
    `${whens.find((w) => w.value === c.when)?.label ?? c.when} (${c.at_least} or more): ${actionWords[c.action]}`;
  list(
    out,
    "Previous criteria",
    (before.history.criteria ?? []).map(criterion),
    (after.history.criteria ?? []).map(criterion),
  );
  keyed(
    before.providers,
    after.providers,
    (p) => p.name,
    (name, a, b) => {
      if (!a) out.push(`Provider ${name} added`);
      else if (!b) out.push(`Provider ${name} deleted`);
      else fields(out, `Provider ${name}`, providerView(a), providerView(b));
    },
  );
  if (!same(before.tests ?? [], after.tests ?? [])) out.push("Tests of the policy changed");
  return out;
}

const onOff = (on: boolean) => (on ? "on" : "off");
const show = (v: unknown): string =>
  v === undefined || v === null || v === ""
    ? "none"
    : Array.isArray(v)
      ? v.length === 0
        ? "none"
        : v.map(show).join(", ")
      : typeof v === "object"
        ? Object.entries(v)
            .map(([k, x]) => `${k} ${show(x)}`)
            .join(", ")
        : String(v);

const ruleView = (r: RuleSpec) => ({
  mode: modeWords[modeOf(r)].toLowerCase(),
  events: r.events,
  realms: r.realms ?? [],
  reasons: r.reasons ?? [],
  exceptions: r.except ?? [],
  key: r.key,
  counts: r.distinct ?? "",
  threshold: r.threshold,
  "time range": inWords(r.time_range),
  lasts: lasting(r as DraftRule),
  "at most": r.at_most ?? {},
  action: actionWords[r.action],
  severity: r.severity,
});
type Provider = NonNullable<Doc["providers"]>[number];
const providerView = (p: Provider) => ({
  switch: onOff(p.enabled),
  source: p.url,
  refresh: inWords(p.refresh),
  levels: (p.levels ?? []).map((l) => `${l.at_least} or more: ${actionWords[l.action as Action]}`),
});

function fields(out: string[], what: string, a: Record<string, unknown>, b: Record<string, unknown>) {
  const parts = Object.keys(b)
    .filter((k) => !same(a[k], b[k]))
    .map((k) => `${k} ${show(a[k])} → ${show(b[k])}`);
  if (parts.length > 0) out.push(`${what}: ${parts.join("; ")}`);
}

function list(out: string[], what: string, before: string[], after: string[]) {
  const a = new Set(before);
  const b = new Set(after);
  const added = after.filter((x) => !a.has(x));
  const gone = before.filter((x) => !b.has(x));
  const some = (items: string[]) =>
    items.length > 6 ? `${items.slice(0, 5).join(", ")} and ${items.length - 5} more` : items.join(", ");
  if (added.length > 0) out.push(`${what}: added ${some(added)}`);
  if (gone.length > 0) out.push(`${what}: taken away ${some(gone)}`);
}

function keyed<T>(
  before: T[] | undefined,
  after: T[] | undefined,
  key: (x: T) => string,
  each: (key: string, a: T | undefined, b: T | undefined) => void,
) {
  const a = new Map((before ?? []).map((x) => [key(x), x]));
  const b = new Map((after ?? []).map((x) => [key(x), x]));
  for (const k of new Set([...a.keys(), ...b.keys()])) each(k, a.get(k), b.get(k));
}

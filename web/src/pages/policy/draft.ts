import type { Schemas } from "@/api/client";
import { lines } from "@/lib/lines";

export { lines };

export type Doc = Schemas["Document"];
export type RuleSpec = Schemas["RuleSpec"];
export type Action = "challenge" | "mfa" | "block";
export type Mode = "off" | "observe" | "enforce";

/** The policy while it is edited: the document with numbers that may be empty
 * and with an identity for every row, so that rows can be moved and removed. */
export type Draft = {
  enabled: boolean;
  mode: Mode;
  trusted: string; // one address or prefix in each line
  blocked: DraftBlocked[];
  activity: { enabled: boolean; rules: DraftRule[] };
  history: { enabled: boolean; lookback?: number; criteria: DraftCriterion[] };
  providers: DraftProvider[];
  tests: Schemas["TestSpec"][];
};
export type DraftBlocked = { uid: string; ip: string; reason: string; until: string | null };
export type DraftRule = Omit<RuleSpec, "threshold" | "time_range" | "$schema"> & {
  uid: string;
  threshold?: number;
  time_range?: number;
};
export type DraftCriterion = { uid: string; when: string; at_least?: number; action: Action };
export type DraftLevel = { uid: string; at_least?: number; action: Action };
export type DraftProvider = {
  uid: string;
  name: string;
  enabled: boolean;
  url: string;
  format: string;
  refresh?: number;
  levels: DraftLevel[];
};

let last = 0;
export const uid = () => `r${++last}`;

export function fromDocument(doc: Doc): Draft {
  return {
    enabled: doc.enabled,
    mode: doc.mode,
    trusted: (doc.trusted ?? []).join("\n"),
    blocked: (doc.blocked ?? []).map((b) => ({
      uid: uid(),
      ip: b.ip,
      reason: b.reason ?? "",
      until: b.until,
    })),
    activity: {
      enabled: doc.activity.enabled,
      rules: (doc.activity.rules ?? []).map((r) => ({ ...r, uid: uid() })),
    },
    history: {
      enabled: doc.history.enabled,
      lookback: doc.history.lookback,
      criteria: (doc.history.criteria ?? []).map((c) => ({ ...c, action: c.action as Action, uid: uid() })),
    },
    providers: (doc.providers ?? []).map(fromProvider),
    tests: doc.tests ?? [],
  };
}

export const fromProvider = (p: Schemas["ProviderSpec"]): DraftProvider => ({
  ...p,
  uid: uid(),
  levels: (p.levels ?? []).map((l) => ({ uid: uid(), at_least: l.at_least, action: l.action as Action })),
});

/** What the API takes. Numbers that are empty are left out, so that the API
 * says what is missing and where. */
export function toDocument(d: Draft): Doc {
  const doc = {
    enabled: d.enabled,
    mode: d.mode,
    ...some("trusted", lines(d.trusted)),
    ...some(
      "blocked",
      d.blocked.map((b) => ({ ip: b.ip.trim(), ...text("reason", b.reason.trim()), until: b.until || null })),
    ),
    activity: { enabled: d.activity.enabled, ...some("rules", d.activity.rules.map(toRule)) },
    history: {
      enabled: d.history.enabled,
      ...given("lookback", d.history.lookback),
      ...some(
        "criteria",
        d.history.criteria.map((c) => ({ when: c.when, ...given("at_least", c.at_least), action: c.action })),
      ),
    },
    ...some("providers", d.providers.map(toProvider)),
    ...some("tests", d.tests),
  };
  return doc as Doc;
}

export const toProvider = (p: DraftProvider) =>
  ({
    name: p.name.trim(),
    enabled: p.enabled,
    url: p.url.trim(),
    format: p.format,
    ...given("refresh", p.refresh),
    levels: p.levels.map((l) => ({ ...given("at_least", l.at_least), action: l.action })),
  }) as Schemas["ProviderSpec"];

function toRule(r: DraftRule): RuleSpec {
  const escalates = (r.escalate ?? []).length > 0;
  const atMost = Object.entries(r.at_most ?? {});
  const rule = {
    id: r.id.trim(),
    enabled: r.enabled,
    events: r.events,
    ...some("realms", r.realms ?? []),
    ...some("reasons", r.reasons ?? []),
    ...some("except", r.except ?? []),
    key: r.key,
    ...text("distinct", r.distinct ?? ""),
    ...given("threshold", r.threshold),
    ...given("time_range", r.time_range),
    ...(escalates ? { escalate: r.escalate } : given("cooling_period", r.cooling_period)),
    ...(atMost.length > 0 ? { at_most: Object.fromEntries(atMost) } : {}),
    action: r.action,
    mode: r.mode,
    severity: r.severity,
  };
  return rule as RuleSpec;
}

const some = <T>(name: string, list: T[]) => (list.length > 0 ? { [name]: list } : {});
const text = (name: string, value: string) => (value !== "" ? { [name]: value } : {});
const given = (name: string, value: number | undefined) => (value !== undefined ? { [name]: value } : {});

/** Documents are the same if they say the same, whatever is left out. */
export const same = (a: unknown, b: unknown) => stable(a) === stable(b);
const stable = (v: unknown): string =>
  JSON.stringify(v, (_, x) =>
    x && typeof x === "object" && !Array.isArray(x)
      ? Object.fromEntries(
          Object.entries(x)
            .filter(([k]) => k !== "$schema")
            .sort(([p], [q]) => (p < q ? -1 : 1)),
        )
      : x,
  ) ?? "undefined";

/** The mode of the whole policy or of a rule, as people say it: off, observe or enforce. */
export const modeOf = (x: { enabled: boolean; mode: Mode }): Mode => (x.enabled ? x.mode : "off");
export const withMode = <T extends { enabled: boolean; mode: Mode }>(x: T, mode: Mode): T =>
  mode === "off" ? { ...x, enabled: false } : { ...x, enabled: true, mode };

export function newRule(others: DraftRule[]): DraftRule {
  return {
    uid: uid(),
    id: freeId("rule", others),
    enabled: true,
    events: ["USER_LOGIN_FAILURE"],
    key: "ip",
    threshold: 5,
    time_range: 3600,
    cooling_period: 3600,
    action: "block",
    mode: "observe",
    severity: "high",
  };
}

export function freeId(stem: string, others: { id: string }[]): string {
  const taken = new Set(others.map((r) => r.id));
  if (!taken.has(stem)) return stem;
  for (let n = 2; ; n++) if (!taken.has(`${stem}_${n}`)) return `${stem}_${n}`;
}

/** A preset put in the place of the rules. Who is trusted and who is blocked
 * belongs to the site and stays; so do feeds that the preset does not know. */
export function withPreset(draft: Draft, preset: Doc): Draft {
  const next = fromDocument(preset);
  const known = new Set(next.providers.map((p) => p.name));
  const mine = new Map(draft.providers.map((p) => [p.name, p]));
  return {
    ...next,
    trusted: draft.trusted,
    blocked: draft.blocked,
    providers: [
      ...next.providers.map((p) => (mine.get(p.name)?.enabled ? { ...p, enabled: true } : p)),
      ...draft.providers.filter((p) => !known.has(p.name)),
    ],
  };
}

/** Which of the policy's own tests fail, by the faults of a check. */
export function failingTests(faults: Record<string, string>): { index: number; message: string }[] {
  const out = new Map<number, string>();
  for (const [at, message] of Object.entries(faults)) {
    const n = /^tests\[(\d+)\]/.exec(at)?.[1];
    if (n !== undefined && !out.has(Number(n))) out.set(Number(n), message);
  }
  return [...out].map(([index, message]) => ({ index, message })).sort((a, b) => a.index - b.index);
}

export const move = <T>(list: T[], from: number, by: number): T[] => {
  const to = from + by;
  if (to < 0 || to >= list.length) return list;
  const out = [...list];
  out.splice(to, 0, ...out.splice(from, 1));
  return out;
};

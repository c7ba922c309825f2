import { describe, expect, it } from "vitest";
import {
  type Doc,
  type Draft,
  type DraftProvider,
  type DraftRule,
  failingTests,
  freeId,
  fromDocument,
  lines,
  modeOf,
  move,
  same,
  toDocument,
  withMode,
  withPreset,
} from "./draft";
import { merge } from "./merge";
import { changes, sentence } from "./words";

const rule = (id: string, more: object = {}) => ({
  id,
  enabled: true,
  events: ["USER_LOGIN_FAILURE"],
  key: "ip",
  threshold: 5,
  time_range: 3600,
  cooling_period: 0,
  action: "block" as const,
  mode: "enforce" as const,
  severity: "critical" as const,
  ...more,
});
const doc = (more: Partial<Doc> = {}): Doc => ({
  enabled: true,
  mode: "enforce",
  trusted: ["10.0.0.0/8"],
  blocked: [{ ip: "198.51.100.0/24", reason: "scanner", until: null }],
  activity: {
    enabled: true,
    rules: [rule("a"), rule("b", { escalate: [900, 3600], cooling_period: undefined })],
  },
  history: { enabled: true, lookback: 86400, criteria: [{ when: "failures", at_least: 20, action: "mfa" }] },
  providers: [
    {
      name: "ipsum",
      enabled: false,
      url: "https://example.org/ipsum.txt",
      format: "ipsum",
      refresh: 86400,
      levels: [{ at_least: 3, action: "challenge" }],
    },
  ],
  tests: [{ name: "t", events: [{ name: "USER_LOGIN_FAILURE" }] }],
  ...more,
});

const first = (d: Draft) => d.activity.rules[0] as DraftRule;

describe("the draft of a policy", () => {
  it("gives the same document back", () => {
    expect(same(toDocument(fromDocument(doc())), doc())).toBe(true);
    const least = {
      enabled: true,
      mode: "observe",
      activity: { enabled: true },
      history: { enabled: false, lookback: 1 },
    };
    expect(toDocument(fromDocument(least as Doc))).toEqual(least);
  });

  it("leaves out what is empty, so that the API names it", () => {
    const d = fromDocument(doc());
    first(d).threshold = undefined;
    d.trusted = " 10.0.0.0/8 \n\n192.0.2.1, 2001:db8::/32\n";
    const out = toDocument(d);
    expect(out.activity.rules?.[0]).not.toHaveProperty("threshold");
    expect(out.trusted).toEqual(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]);
    expect(lines("\n")).toEqual([]);
  });

  it("sends one kind of duration only", () => {
    const d = fromDocument(doc());
    first(d).escalate = [60, 600];
    expect(toDocument(d).activity.rules?.[0]).toMatchObject({ escalate: [60, 600] });
    expect(toDocument(d).activity.rules?.[0]).not.toHaveProperty("cooling_period");
  });

  it("has three modes", () => {
    expect(modeOf({ enabled: false, mode: "enforce" })).toBe("off");
    expect(withMode({ enabled: true, mode: "enforce" }, "off")).toEqual({ enabled: false, mode: "enforce" });
    expect(withMode({ enabled: false, mode: "enforce" }, "observe")).toEqual({
      enabled: true,
      mode: "observe",
    });
  });

  it("takes a preset and keeps what belongs to the site", () => {
    const d = fromDocument(doc());
    (d.providers[0] as DraftProvider).enabled = true;
    const preset = doc({ trusted: [], blocked: [], activity: { enabled: true, rules: [rule("preset")] } });
    const out = toDocument(withPreset(d, preset));
    expect(out.trusted).toEqual(["10.0.0.0/8"]);
    expect(out.blocked).toHaveLength(1);
    expect(out.activity.rules?.map((r) => r.id)).toEqual(["preset"]);
    expect(out.providers?.[0]?.enabled).toBe(true);
  });

  it("names the tests that fail", () => {
    expect(
      failingTests({ "tests[2].events[0]": "a", "tests[2].events[1]": "b", "tests[0]": "c", mode: "d" }),
    ).toEqual([
      { index: 0, message: "c" },
      { index: 2, message: "a" },
    ]);
  });

  it("moves and names rules", () => {
    expect(move([1, 2, 3], 2, -1)).toEqual([1, 3, 2]);
    expect(move([1, 2, 3], 0, -1)).toEqual([1, 2, 3]);
    expect(freeId("a", [{ id: "a" }, { id: "a_2" }])).toBe("a_3");
  });
});

describe("a rule in words", () => {
  it("says what counts and what happens", () => {
    expect(sentence(rule("a"))).toBe("5 events within 1 hour by one address: block until lifted");
    expect(sentence(rule("a", { distinct: "account", threshold: 10, cooling_period: 900 }))).toBe(
      "10 different accounts within 1 hour by one address: block for 15 minutes",
    );
    expect(sentence(rule("a", { key: "session", threshold: 1 }))).toBe(
      "1 event within 1 hour by one session: end the session",
    );
    expect(sentence(rule("a", { escalate: [900, 3600, 0] }))).toContain(
      "block 15 minutes, then 1 hour, then until lifted",
    );
  });
});

describe("changes in words", () => {
  it("says nothing of the same policy", () => {
    expect(changes(doc(), doc())).toEqual([]);
  });

  it("names each change", () => {
    const after = doc({
      mode: "observe",
      trusted: ["10.0.0.0/8", "192.0.2.1/32"],
      activity: { enabled: true, rules: [rule("c"), rule("a", { threshold: 6 })] },
      history: { enabled: false, lookback: 86400 },
    });
    expect(changes(doc(), after)).toEqual([
      "Mode: Enforce → Observe",
      "Trusted addresses: added 192.0.2.1/32",
      "Rule a: threshold 5 → 6",
      "Rule b deleted",
      "Rule c added: 5 events within 1 hour by one address: block until lifted",
      "Previous criteria check: on → off",
      "Previous criteria: taken away Failed attempts (20 or more): MFA",
    ]);
  });
});

describe("merging an edit with another's", () => {
  const edit = (f: (d: Doc) => void) => {
    const d = structuredClone(doc());
    f(d);
    return d;
  };
  const rules = (d: Doc) => d.activity.rules as Schemas[];
  type Schemas = NonNullable<Doc["activity"]["rules"]>[number];
  const one = (d: Doc) => rules(d)[0] as Schemas;

  it("takes both if they touch different things", () => {
    const mine = edit((d) => {
      one(d).threshold = 7;
      d.trusted?.push("192.0.2.1/32");
    });
    const theirs = edit((d) => {
      one(d).time_range = 60;
      d.trusted?.push("192.0.2.2/32");
      rules(d).push(rule("c"));
      d.mode = "observe";
    });
    const { doc: out, conflicts } = merge(doc(), mine, theirs);
    expect(conflicts).toEqual([]);
    expect(rules(out)[0]).toMatchObject({ threshold: 7, time_range: 60 });
    expect(out.trusted).toEqual(["10.0.0.0/8", "192.0.2.1/32", "192.0.2.2/32"]);
    expect(rules(out).map((r) => r.id)).toEqual(["a", "b", "c"]);
    expect(out.mode).toBe("observe");
  });

  it("keeps mine and says so if both changed the same", () => {
    const { doc: out, conflicts } = merge(
      doc(),
      edit((d) => {
        one(d).threshold = 7;
      }),
      edit((d) => {
        one(d).threshold = 9;
      }),
    );
    expect(one(out).threshold).toBe(7);
    expect(conflicts).toEqual(["activity.rules[a].threshold"]);
  });

  it("keeps deletions, but not of what the other changed without saying so", () => {
    const without = edit((d) => {
      d.activity.rules = [rule("b")];
    });
    expect(rules(merge(doc(), without, doc()).doc).map((r) => r.id)).toEqual(["b"]);
    const changed = edit((d) => {
      one(d).threshold = 9;
    });
    expect(merge(doc(), without, changed).conflicts).toEqual(["activity.rules[a]"]);
    const kept = merge(doc(), changed, without);
    expect(rules(kept.doc).map((r) => r.id)).toContain("a");
    expect(kept.conflicts).toEqual(["activity.rules[a]"]);
  });

  it("takes an order that only the other changed", () => {
    const theirs = edit((d) => {
      rules(d).reverse();
    });
    expect(
      rules(
        merge(
          doc(),
          edit((d) => rules(d).push(rule("c"))),
          theirs,
        ).doc,
      ).map((r) => r.id),
    ).toEqual(["b", "a", "c"]);
  });
});

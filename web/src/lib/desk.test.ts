import { describe, expect, it } from "vitest";
import { parseDuration, readImport, splitCSV } from "./import";
import { addressOf, covers, hasPage } from "./ip";
import { endOf, liftFilter, remaining, span, subjectOf } from "./report";
import { humanName, tally } from "./tally";

describe("addresses", () => {
  it("knows what is inside what", () => {
    expect(covers("203.0.113.0/24", "203.0.113.99")).toBe(true);
    expect(covers("203.0.113.0/25", "203.0.113.200")).toBe(false);
    expect(covers("203.0.113.7", "203.0.113.0/24")).toBe(false);
    expect(covers("2001:db8:1::/64", "2001:db8:1::5")).toBe(true);
    expect(covers("0.0.0.0/0", "::1")).toBe(false);
  });
  it("knows what has a page", () => {
    expect(hasPage("203.0.113.7")).toBe(true);
    expect(hasPage("203.0.113.0/24")).toBe(false);
    expect(hasPage("2001:db8:1::/64")).toBe(true);
    expect(addressOf("2001:db8::/64")).toBe("2001:db8::");
  });
});

describe("blocks in words", () => {
  it("names the subject", () => {
    expect(subjectOf({ ip: "203.0.113.7" })).toBe("203.0.113.7");
    expect(subjectOf({ account: "alice", realm: "user", ip: "203.0.113.7" })).toBe(
      "alice (user) from 203.0.113.7",
    );
    expect(subjectOf({ account: "\u202Eecila" })).toBe("\uFFFDecila");
  });
  it("tells what is left", () => {
    const now = Date.parse("2026-11-22T12:00:00Z");
    expect(remaining({ state: "active", until: null }, now)).toBe("until lifted");
    expect(remaining({ state: "active", until: "2026-11-22T14:13:00Z" }, now)).toBe("2 h 13 min left");
    expect(remaining({ state: "lifted", until: null }, now)).toBe("");
    expect(span(86400)).toBe("1 day");
    expect(span(0)).toBe("0 s");
  });
  it("takes the first end there is", () => {
    expect(endOf({ until: null })).toBeUndefined();
    expect(endOf({ until: "b", lifted_at: "a" })).toBe("a");
  });
  it("turns the list's filter into that of lifting, or says that it cannot", () => {
    expect(liftFilter({ state: "active", ip: "10.0.0.0/8", reviewed: "false" })).toEqual({
      within: "10.0.0.0/8",
      reviewed: false,
    });
    expect(liftFilter({ state: "lifted" })).toBeUndefined();
    expect(liftFilter({ source: "policy" })).toBeUndefined();
  });
});

describe("import", () => {
  it("takes lines, comments, reasons and durations", () => {
    const plan = readImport(
      "# list\n203.0.113.7\n198.51.100.0/24,scanners,7d\n2001:db8::1 noisy neighbour\n",
      "old firewall",
      60,
    );
    expect(plan.faults).toEqual([]);
    expect(plan.entries).toEqual([
      { ip: "203.0.113.7", reason: "old firewall", duration: 60 },
      { ip: "198.51.100.0/24", reason: "scanners", duration: 604800 },
      { ip: "2001:db8::1", reason: "noisy neighbour", duration: 60 },
    ]);
    expect(plan.lines).toEqual([2, 3, 4]);
  });
  it("names what it cannot take by its line", () => {
    const plan = readImport("203.0.113.7\nnonsense\n203.0.113.7\n10.0.0.1,x,soon\n{bad\n,x");
    expect(plan.entries).toHaveLength(1);
    expect(plan.faults.map((f) => f.line)).toEqual([2, 3, 4, 5, 6]);
    expect(plan.faults[1]?.message).toContain("line 1");
  });
  it("takes an export back: header, quotes, formula guard, ended blocks left out", () => {
    const csv =
      'id,ip,state,reason\n1,203.0.113.7,active,"a, ""b"""\n2,203.0.113.8,lifted,x\n3,203.0.113.9,active,\'=1+1\n';
    const plan = readImport(csv);
    expect(plan.entries.map((e) => e.reason)).toEqual(['a, "b"', "=1+1"]);
    expect(plan.skipped).toBe(1);
    expect(
      readImport('{"ip":"203.0.113.7","reason":"x","state":"active"}\n{"ip":"1.2.3.4","state":"expired"}'),
    ).toMatchObject({
      entries: [{ ip: "203.0.113.7" }],
      skipped: 1,
    });
  });
  it("reads durations", () => {
    expect(["", "0", "permanent", "90", "1h", "2 d", "soon", "-1"].map(parseDuration)).toEqual([
      0,
      0,
      0,
      90,
      3600,
      172800,
      undefined,
      undefined,
    ]);
    expect(splitCSV('a;"b;c";d')).toEqual(["a", "b;c", "d"]);
  });
});

describe("tally", () => {
  it("counts by account, most frequent first", () => {
    const e = (account: string, name: string, action = "allow") =>
      ({ account, name, action, time: "2026-11-22T12:00:00Z" }) as never;
    const found = tally(
      [e("a", "USER_LOGIN_FAILURE"), e("b", "USER_LOGIN_FAILURE", "block"), e("b", "USER_LOGIN_SUCCESS")],
      (x) => x.account,
    );
    expect(found.map((t) => [t.key, t.count, t.failed, t.refused])).toEqual([
      ["b", 2, 1, 1],
      ["a", 1, 1, 0],
    ]);
    expect(humanName("MFA_FAILURE")).toBe("MFA failure");
  });
});

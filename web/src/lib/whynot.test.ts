import { describe, expect, it } from "vitest";
import type { Schemas } from "@/api/client";
import type { Block } from "./blocks";
import { refusingBlocks, whyNot } from "./whynot";

const now = Date.parse("2026-11-22T12:00:00Z");
const ago = (s: number) => new Date(now - s * 1000).toISOString();

const profile = (over: Partial<Schemas["AccountProfile"]>) =>
  ({
    account: "alice",
    realm: "user",
    known: true,
    recent_events: [],
    blocks: [],
    sessions: [],
    known_sources: [],
    why: { demands: [], counters: [], blocks: [], steps: [], decision: { action: "allow", reason: "ok" } },
    ...over,
  }) as unknown as Schemas["AccountProfile"];

const block = (over: Partial<Block>): Block => ({
  id: "b1",
  state: "active",
  source: "rule",
  rule: "sign_in",
  reference: "7K3M-22QP",
  until: null,
  hits: 0,
  good_accounts_14d: 0,
  threshold: 5,
  window: 3600,
  blocked_at: ago(600),
  ...over,
});

const event = (over: object) =>
  ({
    id: "e",
    name: "USER_LOGIN_FAILURE",
    time: ago(300),
    action: "allow",
    completed: false,
    ...over,
  }) as never;

describe("whyNot", () => {
  it("says that an account was never seen", () => {
    const [f] = whyNot(profile({ known: false }), [], now);
    expect(f?.says).toContain("never seen");
  });

  it("says that nothing stands in the way", () => {
    const found = whyNot(
      profile({ recent_events: [event({ completed: true, name: "USER_LOGIN_SUCCESS", ip: "192.0.2.1" })] }),
      [],
      now,
    );
    expect(found.map((f) => f.tone)).toEqual(["fine"]);
    expect(found[0]?.why).toContain("192.0.2.1");
  });

  it("finds the blocked address that the person came from, and knows it for theirs", () => {
    const p = profile({
      recent_events: [event({ action: "block", block_id: "b1", ip: "198.51.100.23" })],
      known_sources: [{ ip: "198.51.100.23", last_signed_in: ago(86400) }] as never,
    });
    expect(refusingBlocks(p, now)).toEqual(["b1"]);
    const [f] = whyNot(p, [block({ ip: "198.51.100.23" })], now);
    expect(f).toMatchObject({ tone: "stop", key: "b1" });
    expect(f?.todo).toContain("probably a mistake");
    expect(f?.why).toContain("sign_in");
  });

  it("does not take a stranger's blocked address for the person's", () => {
    const p = profile({ recent_events: [event({ action: "block", block_id: "b1", ip: "198.51.100.23" })] });
    expect(whyNot(p, [block({ ip: "198.51.100.23" })], now)[0]?.todo).toContain("leave it");
  });

  it("knows the person by the device, and puts strangers together", () => {
    const ids = ["b1", "b2", "b3", "b4"];
    const p = profile({
      recent_events: [
        ...ids.map((id, i) =>
          event({ action: "block", block_id: id, ip: `198.51.100.${i}`, device: id === "b1" ? "d" : "" }),
        ),
        event({ completed: true, name: "USER_LOGIN_SUCCESS", device: "d" }),
      ],
    });
    const found = whyNot(
      p,
      ids.map((id, i) => block({ id, ip: `198.51.100.${i}` })),
      now,
    );
    expect(found[0]).toMatchObject({ key: "b1", tone: "stop" });
    expect(found[0]?.todo).toContain("device");
    expect(found[1]?.blocks?.map((b) => b.id)).toEqual(["b2", "b3", "b4"]);
  });

  it("lets no name turn its sentence around", () => {
    const says = whyNot(profile({ account: "eve\u202Elive\u2066" }), [], now)[0]?.says;
    expect(says).toBe("Nothing of Warder stops eve\uFFFDlive\uFFFD from signing in.");
  });

  it("leaves out blocks that ended, and counts none twice", () => {
    const b = block({ account: "alice" });
    const p = profile({ blocks: [b, block({ id: "b2", state: "lifted" })] });
    expect(whyNot(p, [b], now).filter((f) => f.tone === "stop")).toHaveLength(1);
  });

  it("names a demand, the application's own answer and a counter that is nearly full", () => {
    const p = profile({
      recent_events: [event({ reason: "wrong_password" }), event({ reason: "wrong_password" })],
      why: {
        demands: [
          { id: "d", action: "mfa", rule: "account_guess", from: ago(60), until: null, observed: false },
        ],
        counters: [
          { rule: "pair", key: "account", count: 9, threshold: 10, window: 3600, held: 0, mode: "enforce" },
        ],
        blocks: [],
      } as never,
    });
    const found = whyNot(p, [], now);
    expect(found.map((f) => f.tone)).toEqual(["step", "hint", "hint"]);
    expect(found[1]?.says).toContain("the password was wrong");
    expect(found[2]?.says).toContain("one more");
  });
});

import { describe, expect, it } from "vitest";
import { announced, arrive, type LiveEvent, matches, nothing } from "./live";

const event = (id: string, more: Partial<LiveEvent> = {}): LiveEvent =>
  ({
    id,
    name: "USER_LOGIN_FAILURE",
    severity: "high",
    ip: "203.0.113.9",
    account: "Alice",
    ...more,
  }) as LiveEvent;

describe("the live stream", () => {
  it("knows which events belong to a list", () => {
    expect(matches(event("1"), {})).toBe(true);
    expect(matches(event("1"), { severity: ["critical"] })).toBe(false);
    expect(matches(event("1"), { severity: ["critical", "high"], not_name: ["LOGOUT"] })).toBe(true);
    expect(matches(event("1"), { not_name: ["USER_LOGIN_FAILURE"] })).toBe(false);
    expect(matches(event("1"), { account: ["alice "] })).toBe(true);
    expect(matches(event("1"), { account: ["bob"] })).toBe(false);
    expect(matches(event("1"), { q: ["ali"] })).toBeUndefined();
    expect(matches(event("1"), { q: ["ali"], severity: ["info"] })).toBe(false);
  });

  it("knows addresses by their prefix", () => {
    const from = (ip: string, filter: string) => matches(event("1", { ip }), { ip: [filter] });
    expect(from("203.0.113.9", "203.0.113.0/24")).toBe(true);
    expect(from("203.0.113.9", "203.0.113.8/29")).toBe(true);
    expect(from("203.0.113.9", "203.0.113.16/28")).toBe(false);
    expect(from("2001:db8:1:2::9", "2001:db8:1:2::/64")).toBe(true);
    expect(from("2001:db8:1:3::9", "2001:db8:1:2::/64")).toBe(false);
    expect(from("2001:db8:1:2::9", "203.0.113.0/24")).toBe(false);
    expect(matches(event("1"), { not_ip: ["203.0.112.0/23"] })).toBe(false);
  });

  it("counts every event once and says so", () => {
    let a = nothing;
    expect(announced(a)).toBe("");
    a = arrive(a, event("1"), {});
    expect(announced(a)).toBe("1 new event");
    a = arrive(a, event("1"), {});
    a = arrive(a, event("2", { severity: "critical" }), {});
    a = arrive(a, event("3", { name: "LOGOUT" }), { not_name: ["LOGOUT"] });
    expect(announced(a)).toBe("2 new events, 1 critical");
    expect(announced(arrive(nothing, event("4"), { q: ["x"] }))).toBe("New events");
    expect(nothing.ids.size).toBe(0);
  });
});

import { describe, expect, it } from "vitest";
import { duration, exact, relative, setTimeZone, span } from "./time";

describe("time", () => {
  it("takes whole days of the operator's time zone", () => {
    setTimeZone("Asia/Kolkata");
    const now = Date.parse("2026-11-22T20:00:00Z"); // 23 November there
    expect(span("30d", now)).toEqual({ from: "2026-10-24T18:30:00.000Z" });
    expect(exact("2026-11-22T20:00:00Z")).toBe("2026-11-23 01:30:00");
  });

  it("takes whole days also where the clock changes between them", () => {
    setTimeZone("Europe/Berlin");
    expect(span("30d", Date.parse("2026-11-10T12:00:00Z"))).toEqual({ from: "2026-10-11T22:00:00.000Z" });
    setTimeZone("Asia/Kolkata");
  });

  it("keeps absolute ranges", () => {
    expect(span("2026-11-01T00:00:00Z..2026-11-02T00:00:00Z")).toEqual({
      from: "2026-11-01T00:00:00.000Z",
      to: "2026-11-02T00:00:00.000Z",
    });
  });

  it("tells how long ago in few words", () => {
    const now = Date.parse("2026-11-22T12:00:00Z");
    const ago = (seconds: number) => relative(now - seconds * 1000, now);
    expect([3, 50, 1140, 3500, 7200, 90_000, 864_000, 5_000_000, 70_000_000].map(ago)).toEqual([
      "just now",
      "50 s ago",
      "19 min ago",
      "58 min ago",
      "2 h ago",
      "1 day ago",
      "10 days ago",
      "2 months ago",
      "2 years ago",
    ]);
    expect([ago(-3), ago(-20), ago(-3600), ago(-604_800)]).toEqual([
      "just now",
      "in a moment",
      "in 1 h",
      "in 7 days",
    ]);
  });

  it("names durations", () => {
    expect([0, 900, 3600, 86400, 90, 604800].map(duration)).toEqual([
      "permanent",
      "15 min",
      "1 h",
      "1 day",
      "90 s",
      "7 days",
    ]);
  });
});

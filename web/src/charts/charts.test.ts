import { beforeAll, describe, expect, it } from "vitest";
import { setTimeZone } from "@/lib/time";
import { type Cursor, type CursorAction, cursor, selection } from "./cursor";
import { all, only, shown, toggled, without } from "./legend";
import { angles, countTicks, labelled, logTicks, nearest, percent, place, share } from "./scale";
import { type Bucket, bucketEnd, bucketName, partial, summary, tickName, ticksOf, toCSV } from "./trend";

describe("scales", () => {
  it("have whole ticks from 0 to the top", () => {
    for (const max of [0, 1, 2, 3, 4, 5, 7, 9, 10, 23, 99, 100, 101, 640, 1234, 99_999, 5_000_001]) {
      const ticks = countTicks(max);
      expect(ticks[0]).toBe(0);
      expect(ticks.every(Number.isInteger)).toBe(true);
      expect(ticks.at(-1)).toBeGreaterThanOrEqual(max);
      expect(ticks.length).toBeLessThanOrEqual(5);
      expect(share(max, ticks, false)).toBeLessThanOrEqual(1);
      if (max >= 4) expect(share(max, ticks, false), `top of ${max}`).toBeGreaterThan(0.5);
    }
  });

  it("have a logarithmic form that shows 0", () => {
    expect(logTicks(640)).toEqual([0, 1, 10, 100, 1000]);
    expect(share(0, logTicks(640), true)).toBe(0);
    expect(share(1000, logTicks(640), true)).toBe(1);
    expect(share(10, logTicks(640), true)).toBeGreaterThan(0.3);
  });

  it("find the place under the pointer", () => {
    expect([-5, 0, 9, 11, 289, 300].map((x) => nearest(x, 290, 30))).toEqual([0, 0, 1, 1, 29, 29]);
    expect(place(29, 290, 30)).toBe(290);
    expect([place(0, 100, 1), nearest(70, 100, 1)]).toEqual([50, 0]);
  });

  it("write labels that have room, the last always", () => {
    expect(labelled(30, 900, 60)).toEqual([1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29]);
    expect(labelled(30, 200, 60)).toEqual([2, 11, 20, 29]);
    expect(labelled(3, 900, 60)).toEqual([0, 1, 2]);
  });

  it("divide a circle", () => {
    expect(angles([1, 1, 2]).map(([a, b]) => [a / Math.PI, b / Math.PI])).toEqual([
      [0, 0.5],
      [0.5, 1],
      [1, 2],
    ]);
    expect(angles([0, 0])).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });

  it("never round to nothing or to everything", () => {
    expect([
      percent(0, 9),
      percent(1, 10_000),
      percent(1, 30),
      percent(62, 100),
      percent(9999, 10_000),
      percent(5, 5),
    ]).toEqual(["0 %", "<0.1 %", "3.3 %", "62 %", "99 %", "100 %"]);
  });
});

describe("the cursor", () => {
  const steps = (...actions: CursorAction[]) => actions.reduce<Cursor>(cursor, {});

  it("follows the pointer and leaves with it", () => {
    expect(steps({ type: "move", to: 4 }).at).toBe(4);
    expect(steps({ type: "move", to: 4 }, { type: "leave" })).toEqual({});
  });

  it("is a click without a drag, a selection with one, in either direction", () => {
    expect(selection(steps({ type: "press", at: 4 }))).toEqual([4, 4]);
    const dragged = steps({ type: "press", at: 9 }, { type: "move", to: 6 }, { type: "leave" });
    expect(selection(dragged)).toEqual([6, 9]);
    expect(dragged.moved).toBe(true);
    const back = steps({ type: "press", at: 9 }, { type: "move", to: 6 }, { type: "move", to: 9 });
    expect([back.moved, selection(back)]).toEqual([true, [9, 9]]);
    expect(cursor(dragged, { type: "release" })).toEqual({ at: 6 });
  });

  it("steps by keys, from the end that the key comes from, and stops at the ends", () => {
    const step = (by: number, select = false): CursorAction => ({ type: "step", by, count: 30, select });
    expect(steps(step(-1)).at).toBe(29);
    expect(steps(step(1)).at).toBe(0);
    expect(steps(step(-1), step(1), step(1)).at).toBe(29);
    expect(steps(step(1), step(7), step(-99)).at).toBe(0);
    const selected = steps(step(-1), step(-1, true), step(-1, true));
    expect(selection(selected)).toEqual([27, 29]);
    expect(selection(cursor(selected, step(-1)))).toEqual([26, 26]);
    expect(cursor(selected, { type: "clear" })).toEqual({});
  });
});

describe("the legend", () => {
  it("hides and shows a value in the filters", () => {
    const hidden = toggled({ severity: ["high"] }, "name", "LOGOUT");
    expect(hidden).toEqual({ severity: ["high"], not_name: ["LOGOUT"] });
    expect(shown(hidden, "name", "LOGOUT")).toBe(false);
    expect(shown(hidden, "name", "OTHER")).toBe(true);
    expect(toggled(hidden, "name", "LOGOUT")).toEqual({ severity: ["high"] });
  });

  it("shows one only, and all again", () => {
    const one = only({ not_name: ["A"] }, "name", "B");
    expect(one).toEqual({ name: ["B"] });
    expect(only(one, "name", "B")).toEqual({});
    expect(toggled(one, "name", "C")).toEqual({ name: ["B", "C"] });
    expect(toggled(one, "name", "B")).toEqual({});
    expect(all({ name: ["B"], not_name: ["C"], ip: ["192.0.2.1"] }, "name")).toEqual({ ip: ["192.0.2.1"] });
  });

  it("leaves a value out once", () => {
    const out = without({}, "name", "A");
    expect(out).toEqual({ not_name: ["A"] });
    expect(without(out, "name", "A")).toEqual(out);
    expect(without({ name: ["A", "B"] }, "name", "A")).toEqual({ name: ["B"] });
  });
});

describe("a trend", () => {
  beforeAll(() => setTimeZone("Europe/Berlin"));
  const bucket = (time: string, info = 0, critical = 0): Bucket => ({
    time,
    info,
    warning: 0,
    high: 0,
    critical,
  });
  // The clock goes back on 25 October 2026: that day has 25 hours.
  const days = [bucket("2026-10-24T22:00:00Z", 3, 1), bucket("2026-10-25T23:00:00Z", 2)];

  it("knows when its buckets end, also where a clock changes", () => {
    expect(bucketEnd(days, 0, "day")).toBe("2026-10-25T23:00:00Z");
    expect(bucketEnd(days, 1, "day")).toBe("2026-10-26T23:00:00.000Z");
    expect(bucketEnd(days.slice(0, 1), 0, "day")).toBe("2026-10-25T23:00:00.000Z");
    expect(bucketEnd([bucket("2026-11-22T13:00:00Z")], 0, "hour")).toBe("2026-11-22T14:00:00.000Z");
  });

  it("marks the bucket that is not over", () => {
    const now = Date.parse("2026-10-26T12:00:00Z");
    expect([partial(days, 0, "day", now), partial(days, 1, "day", now)]).toEqual([false, true]);
  });

  it("labels hours of several days where a day begins", () => {
    const begin = Date.parse("2026-11-06T23:00:00Z"); // midnight in Berlin
    const hours = Array.from({ length: 96 }, (_, i) => bucket(new Date(begin + i * 3_600_000).toISOString()));
    const at = ticksOf(hours, "hour", 96 * 3_600_000, 800);
    expect(at.map((i) => tickName(hours, i, "hour"))).toEqual(["7 Nov", "8 Nov", "9 Nov", "10 Nov"]);
    expect(ticksOf(hours, "hour", 96 * 3_600_000, 130)).toEqual([24, 72]);
    expect(tickName(hours, 14, "hour")).toBe("14:00");
  });

  it("says what it shows", () => {
    expect(bucketName(days, 0, "day")).toBe("Sun 25 Oct 2026");
    expect(bucketName([bucket("2026-11-22T13:00:00Z")], 0, "hour")).toBe("Sun 22 Nov 2026, 14:00–15:00");
    expect(summary(days, "day")).toBe("6 events, 1 critical; most on Sun 25 Oct 2026 (4).");
    expect(summary(days, "day", ["info"])).toMatch(/^\d events; most on/);
    expect(summary([], "day")).toBe("No events in this time.");
    expect(toCSV(days).split("\r\n")).toEqual([
      "time,info,warning,high,critical",
      "2026-10-24T22:00:00Z,3,0,0,1",
      "2026-10-25T23:00:00Z,2,0,0,0",
    ]);
  });
});

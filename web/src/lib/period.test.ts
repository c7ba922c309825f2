import { describe, expect, it } from "vitest";
import { days, instants } from "./period";

describe("periods", () => {
  const now = Date.parse("2026-11-22T20:00:00Z"); // a Sunday; Monday in Kolkata
  it("are whole calendar periods", () => {
    expect(days("previous_month", "UTC", now)).toEqual(["2026-10-01", "2026-10-31"]);
    expect(days("previous_quarter", "UTC", now)).toEqual(["2026-07-01", "2026-09-30"]);
    expect(days("this_month", "UTC", now)).toEqual(["2026-11-01", "2026-11-30"]);
    expect(days("this_quarter", "UTC", now)).toEqual(["2026-10-01", "2026-12-31"]);
    expect(days("previous_year", "UTC", now)).toEqual(["2025-01-01", "2025-12-31"]);
    expect(days("last_30_days", "UTC", now)).toEqual(["2026-10-24", "2026-11-22"]);
    expect(days("previous_quarter", "UTC", Date.parse("2026-02-10T00:00:00Z"))).toEqual([
      "2025-10-01",
      "2025-12-31",
    ]);
  });

  it("begin where the time zone says", () => {
    expect(days("previous_week", "UTC", now)).toEqual(["2026-11-09", "2026-11-15"]);
    expect(days("previous_week", "Asia/Kolkata", now)).toEqual(["2026-11-16", "2026-11-22"]);
    const newYear = Date.parse("2025-12-31T23:30:00Z");
    expect(days("previous_month", "UTC", newYear)).toEqual(["2025-11-01", "2025-11-30"]);
    expect(days("previous_month", "Europe/Berlin", newYear)).toEqual(["2025-12-01", "2025-12-31"]);
  });

  it("become instants, over changes of the clock too", () => {
    expect(instants("2026-10-01", "2026-10-31", "Europe/Berlin")).toEqual({
      from: "2026-09-30T22:00:00.000Z",
      to: "2026-10-31T23:00:00.000Z",
    });
    expect(instants("2026-11-22", "2026-11-22", "Asia/Kolkata")).toEqual({
      from: "2026-11-21T18:30:00.000Z",
      to: "2026-11-22T18:30:00.000Z",
    });
  });
});

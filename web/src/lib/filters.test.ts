import { describe, expect, it } from "vitest";
import { parseSearch, readFilters, stringifySearch, toQuery, withFilter, withoutFilter } from "./filters";

describe("filters", () => {
  it("go through the URL unchanged", () => {
    const search = { range: "30d", severity: ["high", "critical"], not_name: "LOGOUT", q: "a&b=c <x>" };
    expect(parseSearch(stringifySearch(search))).toEqual(search);
  });

  it("include or exclude a value, never both", () => {
    const included = withFilter({}, "name", "LOGOUT");
    expect(included).toEqual({ name: ["LOGOUT"] });
    expect(withFilter(included, "name", "LOGOUT", true)).toEqual({ not_name: ["LOGOUT"] });
    expect(withoutFilter(included, "name", "LOGOUT")).toEqual({});
  });

  it("hold one value of a field of which the API takes one", () => {
    const two = withFilter(withFilter({ name: ["A"] }, "ip", "192.0.2.1"), "ip", "192.0.2.2");
    expect(two).toEqual({ name: ["A"], ip: ["192.0.2.2"] });
    expect(toQuery(withFilter(two, "name", "B"))).toEqual({ name: ["A", "B"], ip: "192.0.2.2" });
  });

  it("read only the fields they know", () => {
    expect(readFilters({ severity: "high", not_ip: ["203.0.113.7"], range: "7d", name: "" })).toEqual({
      severity: ["high"],
      not_ip: ["203.0.113.7"],
    });
  });
});

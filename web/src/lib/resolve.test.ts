import { describe, expect, it } from "vitest";
import { resolve } from "./resolve";

const paths = (q: string) => resolve(q).map((h) => h.to);

describe("the search", () => {
  it("knows addresses, prefixes, references and ids by their form", () => {
    expect(paths(" 203.0.113.9 ")).toEqual(["/addresses/203.0.113.9", "/events?ip=203.0.113.9"]);
    expect(paths("2001:DB8::1")[0]).toBe("/addresses/2001%3Adb8%3A%3A1");
    expect(paths("203.0.113.7/24")[0]).toBe("/blocks?ip=203.0.113.0%2F24");
    expect(paths("203.0.113")[0]).toBe("/events?ip=203.0.113.0%2F24");
    expect(paths("203.0.")[0]).toBe("/events?ip=203.0.0.0%2F16");
    expect(paths("300.1")).toEqual([]);
    expect(paths("ny1h zkh0")).toEqual(["/references/NY1H-ZKH0"]);
    expect(paths("NY1H-ZKH0")).toEqual(["/references/NY1H-ZKH0"]);
    expect(paths("00361r4f5kesqsfs4gaqhndq")).toEqual(["/events?event=00361r4f5kesqsfs4gaqhndq"]);
  });

  it("takes nothing hostile for a place", () => {
    for (const q of [
      "",
      "  ",
      "alice@example.org",
      "javascript:alert(1)",
      "//evil.example",
      "<script>",
      "../../x",
    ]) {
      expect(paths(q), q).toEqual([]);
    }
  });
});

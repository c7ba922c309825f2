import { describe, expect, it } from "vitest";
import { blockChoices, network, parseAddress } from "./address";

const of = (text: string, bits: number) => {
  const a = parseAddress(text);
  return a && network(a, bits);
};

describe("addresses", () => {
  it("are read and written", () => {
    expect(of("203.0.113.9", 32)).toBe("203.0.113.9");
    expect(of("203.0.113.9", 24)).toBe("203.0.113.0/24");
    expect(of("203.0.113.255", 29)).toBe("203.0.113.248/29");
    expect(of("2001:DB8:0:0:1:0:0:1", 128)).toBe("2001:db8::1:0:0:1");
    expect(of("2001:db8:1:2:3:4:5:6", 64)).toBe("2001:db8:1:2::/64");
    expect(of("2001:db8:1:2f3f::", 56)).toBe("2001:db8:1:2f00::/56");
    expect(of("::", 128)).toBe("::");
    expect(of("::ffff:203.0.113.9", 128)).toBe("::ffff:cb00:7109");
  });

  it("are refused when they are none", () => {
    for (const text of [
      "",
      "alice",
      "1.2.3",
      "256.1.1.1",
      "1.2.3.4/33",
      "1.2.3.4/",
      "::1::",
      "12345::",
      "1:2:3",
      "::/129",
      "1.2.3.4/8/8",
    ]) {
      expect(parseAddress(text), text).toBeUndefined();
    }
  });

  it("offer their networks for a block", () => {
    expect(blockChoices("203.0.113.9").map((c) => c.value)).toEqual([
      "203.0.113.9",
      "203.0.113.8/29",
      "203.0.113.0/24",
    ]);
    // A bare IPv6 address would mean its /64: one address must be written out.
    expect(blockChoices("2001:db8::1").map((c) => c.value)).toEqual([
      "2001:db8::/64",
      "2001:db8::1/128",
      "2001:db8::/56",
      "2001:db8::/48",
    ]);
    expect(blockChoices("2001:db8::/64").map((c) => c.value)).toEqual([
      "2001:db8::/64",
      "2001:db8::/56",
      "2001:db8::/48",
    ]);
    expect(blockChoices("198.51.100.0/24")).toEqual([
      { value: "198.51.100.0/24", label: "198.51.100.0/24 · 256 addresses" },
    ]);
    expect(blockChoices("alice")).toEqual([{ value: "alice", label: "alice" }]);
  });
});

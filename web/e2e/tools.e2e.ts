import { expect, it } from "vitest";
import { code } from "./totp";

// The vectors of RFC 6238, appendix B, cut to six digits.
it("makes the codes of the standard", () => {
  const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
  expect([59, 1111111109, 1234567890, 20000000000].map((s) => code(secret, 0, s * 1000))).toEqual([
    "287082",
    "081804",
    "005924",
    "353130",
  ]);
});

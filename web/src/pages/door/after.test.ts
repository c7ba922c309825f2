import { describe, expect, it } from "vitest";
import { pageAfter } from "./after";

describe("after signing in", () => {
  it("goes to pages of ours only", () => {
    expect(pageAfter("/blocks?state=active")).toBe("/blocks?state=active");
    for (const to of [
      "//evil.example",
      "/\\evil.example",
      "https://evil.example",
      "javascript:alert(1)",
      "",
      undefined,
      ["/"],
    ])
      expect(pageAfter(to)).toBe("/");
    expect(pageAfter("/sign-in?to=/sign-in")).toBe("/");
  });
});

import { describe, expect, it } from "vitest";
import { after } from "./after";

describe("after signing in", () => {
  it("goes to pages of ours only", () => {
    expect(after("/blocks?state=active")).toBe("/blocks?state=active");
    for (const to of [
      "//evil.example",
      "/\\evil.example",
      "https://evil.example",
      "javascript:alert(1)",
      "",
      undefined,
      ["/"],
    ])
      expect(after(to)).toBe("/");
    expect(after("/sign-in?to=/sign-in")).toBe("/");
  });
});

import { describe, expect, it } from "vitest";
import { languages, snippets } from "./snippets";

describe("snippets", () => {
  it.each(["guard", "report"] as const)("%s: five languages, each with the address and the key", (recipe) => {
    const list = snippets(recipe, "https://warder.example.org:8420", "wk_abc");
    expect(list.map((s) => s.language)).toEqual(languages.map(([l]) => l));
    expect(list).toHaveLength(5);
    for (const s of list) {
      expect(s.code).toContain("https://warder.example.org:8420");
      expect(s.code).toContain("Bearer wk_abc");
      expect(s.code).not.toMatch(/undefined|\$\{/);
    }
  });
});

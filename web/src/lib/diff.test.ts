import { describe, expect, it } from "vitest";
import { condense, diffLines } from "./diff";

const marks = { same: " ", gone: "-", new: "+" };
const text = (before: string, after: string) => diffLines(before, after).map((l) => marks[l.kind] + l.text);

describe("diffLines", () => {
  it("keeps what is the same and tells what is gone and new", () => {
    expect(text("a\nb\nc\n", "a\nx\nc\nd\n")).toEqual([" a", "-b", "+x", " c", "+d"]);
    expect(text("", "a\n")).toEqual(["+a"]);
    expect(text("a\n", "")).toEqual(["-a"]);
    expect(text("a\nb\n", "a\nb\n")).toEqual([" a", " b"]);
  });

  it("gives both texts back", () => {
    const before = Array.from({ length: 60 }, (_, i) => String((i * 7) % 11)).join("\n");
    const after = Array.from({ length: 50 }, (_, i) => String((i * 5) % 11)).join("\n");
    const lines = diffLines(before, after);
    const join = (not: string) =>
      lines
        .filter((l) => l.kind !== not)
        .map((l) => l.text)
        .join("\n");
    expect(join("new")).toBe(before);
    expect(join("gone")).toBe(after);
    expect(lines.filter((l) => l.before).map((l) => l.before)).toEqual(
      Array.from({ length: 60 }, (_, i) => i + 1),
    );
  });

  it("does not freeze on long lists", () => {
    const before = Array.from({ length: 20_000 }, (_, i) => `a${i}`).join("\n");
    const after = Array.from({ length: 20_000 }, (_, i) => `b${i}`).join("\n");
    expect(diffLines(before, after)).toHaveLength(40_000);
  });

  it("leaves out what is far from every change", () => {
    const before = Array.from({ length: 30 }, (_, i) => `l${i}`).join("\n");
    const lines = condense(diffLines(before, before.replace("l15", "new")), 2);
    expect(lines[0]).toBe(13);
    expect(lines.at(-1)).toBe(12);
    expect(lines).toHaveLength(8);
    expect(condense(diffLines(before, before))).toEqual([]);
  });
});

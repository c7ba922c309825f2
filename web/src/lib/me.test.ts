import { describe, expect, it } from "vitest";
import { reaches, roles } from "./me";

describe("roles", () => {
  it("are in order: each can what those below it can", () => {
    expect(roles.map((r) => roles.map((n) => reaches(r, n)))).toEqual([
      [true, false, false, false],
      [true, true, false, false],
      [true, true, true, false],
      [true, true, true, true],
    ]);
    expect(reaches(undefined, "viewer")).toBe(false);
  });
});

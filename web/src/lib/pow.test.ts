import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { solve } from "./pow";
import { hex, sha256 } from "./sha256";

describe("the proof of work", () => {
  it("hashes as everybody does", () => {
    for (const text of [
      "",
      "abc",
      "a".repeat(55),
      "a".repeat(56),
      "a".repeat(64),
      "w1.17.".repeat(40),
      "é".repeat(9999),
    ]) {
      expect(hex(sha256(new TextEncoder().encode(text)))).toBe(
        createHash("sha256").update(text).digest("hex"),
      );
    }
  });

  it("finds a number that solves the challenge", async () => {
    const challenge = "w1.10.1795368981.abcdef.sign_in.QUJD.REVG";
    const token = await solve(challenge);
    expect(token.startsWith(`${challenge}.`)).toBe(true);
    const sum = createHash("sha256").update(token).digest();
    expect(sum.readUInt16BE(0) >> 6).toBe(0);
  });

  it("gives up on what it does not know", async () => {
    await expect(solve("nonsense")).rejects.toThrow();
  });
});

import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { readSeal } from "./seal";

const seal = {
  kind: "warder.report.v1",
  instance: "https://warder.example.org",
  from: "2026-06-30T22:00:00Z",
  to: "2026-09-30T22:00:00Z",
  tz: "Europe/Berlin",
  format: "json",
  created: "2026-10-01T07:00:00.123456789Z",
  by: 'ann "x" <a@example.org> & c\'o',
  blocks: 3,
  bytes: 17,
  sha256: "00",
  key: "11",
  signature: "ab",
};
const json = (s: object) =>
  JSON.stringify(s).replaceAll("<", "\\u003c").replaceAll(">", "\\u003e").replaceAll("&", "\\u0026");
const signature =
  "<footer><h2>Signature</h2><p>This line seals everything above it: warder export verify FILE.</p>";
const page = (s: object) => json(s).replaceAll("'", "&#39;").replaceAll('"', "&#34;");
const lines = {
  json: (s: object) => `"seal":${json(s)}}`,
  ndjson: (s: object) => `{"section":"seal","seal":${json(s)}}`,
  csv: (s: object) => `"seal","${json(s).replaceAll('"', '""')}"`,
  html: (s: object) => `${signature}<pre id="seal">${page(s)}</pre></footer></main></body></html>`,
};
const formats = Object.keys(lines) as (keyof typeof lines)[];
const content = "ä line\nanother\n";
const readText = (text: string) => readSeal(new TextEncoder().encode(text));

describe("the seal of a report", () => {
  it.each(formats)("is found at the end of %s", async (format) => {
    const got = await readText(`${content}${lines[format]({ ...seal, format })}\r\n\n`);
    expect(got.seal).toEqual({ ...seal, format });
    expect(got.bytes).toBe(new TextEncoder().encode(content).length);
    expect(got.sha256).toBe(createHash("sha256").update(content).digest("hex"));
  });

  it("is missed where there is none", async () => {
    await expect(readText(content)).rejects.toThrow("no seal");
    await expect(readText("")).rejects.toThrow("no seal");
    await expect(readText('"seal":{"kind"}')).rejects.toThrow("cannot be read");
    await expect(readText('"seal":null}')).rejects.toThrow("was changed");
  });

  it.each(formats)("stands alone in its line, as it is written, in %s", async (format) => {
    const mine = { ...seal, format };
    const whole = lines[format](mine);
    const { kind, ...rest } = mine;
    const others = formats.filter((f) => f !== format);
    for (const last of [
      ...Array.from(whole, (_, i) => `${whole.slice(0, i)}<b>All is well.</b>${whole.slice(i)}`),
      `${whole}<b>All is well.</b>`,
      `\ufeff${whole}`,
      ` ${whole}`,
      `${whole}\u00a0`,
      ...others.map((f) => lines[f](mine)),
      lines[format]({ ...rest, kind }),
      lines[format]({ ...mine, note: "No block was lifted." }),
      lines[format]({ ...mine, from: "2026-06-30T23:00:00+01:00" }),
      lines[format]({ ...mine, from: "2026-06-30T22:00:00.000Z" }),
    ]) {
      // What is put into a text of the seal breaks its signature.
      const got = await readText(`${content}${last}\n`).catch((error: Error) => error.message);
      if (typeof got !== "string") expect(got.seal).not.toEqual(mine);
      else expect(got).toMatch(/no seal|was changed|cannot be read/);
    }
  });
});

import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { readSeal } from "./seal";

const seal = { kind: "warder.report.v1", by: 'ann "x" <a@example.org> & co', blocks: 3 };
const json = JSON.stringify(seal);
const escaped = json
  .replaceAll("&", "&amp;")
  .replaceAll("<", "&lt;")
  .replaceAll(">", "&gt;")
  .replaceAll('"', "&#34;");

describe("the seal of a report", () => {
  const content = "ä line\nanother\n";
  it.each([
    ["json", `"seal":${json}}\n`],
    ["ndjson", `{"section":"seal","seal":${json}}\n`],
    ["csv", `"seal","${json.replaceAll('"', '""')}"\r\n`],
    ["html", `<h2>Seal</h2><pre id="seal">${escaped}</pre></main></body></html>\n\n`],
  ])("is found at the end of %s", async (_, last) => {
    const got = await readSeal(new TextEncoder().encode(content + last));
    expect(got.seal).toEqual(seal);
    expect(got.bytes).toBe(new TextEncoder().encode(content).length);
    expect(got.sha256).toBe(createHash("sha256").update(content).digest("hex"));
  });

  it("is missed where there is none", async () => {
    await expect(readSeal(new TextEncoder().encode(content))).rejects.toThrow("no seal");
    await expect(readSeal(new Uint8Array())).rejects.toThrow("no seal");
    await expect(readSeal(new TextEncoder().encode('"seal":{"kind"'))).rejects.toThrow("cannot be read");
  });
});

import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { readSeal } from "./seal";

const seal = { kind: "warder.report.v1", by: 'ann "x" <a@example.org> & co', blocks: 3 };
const json = JSON.stringify(seal)
  .replaceAll("<", "\\u003c")
  .replaceAll(">", "\\u003e")
  .replaceAll("&", "\\u0026");
const escaped = json.replaceAll('"', "&#34;");
const signature =
  "<footer><h2>Signature</h2><p>This line seals everything above it: warder export verify FILE.</p>";

describe("the seal of a report", () => {
  const content = "ä line\nanother\n";
  it.each([
    ["json", `"seal":${json}}\n`],
    ["ndjson", `{"section":"seal","seal":${json}}\n`],
    ["csv", `"seal","${json.replaceAll('"', '""')}"\r\n`],
    ["html", `${signature}<pre id="seal">${escaped}</pre></footer></main></body></html>\n\n`],
  ])("is found at the end of %s", async (_, last) => {
    const got = await readSeal(new TextEncoder().encode(content + last));
    expect(got.seal).toEqual(seal);
    expect(got.bytes).toBe(new TextEncoder().encode(content).length);
    expect(got.sha256).toBe(createHash("sha256").update(content).digest("hex"));
  });

  it("is missed where there is none", async () => {
    await expect(readSeal(new TextEncoder().encode(content))).rejects.toThrow("no seal");
    await expect(readSeal(new Uint8Array())).rejects.toThrow("no seal");
    await expect(readSeal(new TextEncoder().encode('"seal":{"kind"}'))).rejects.toThrow("cannot be read");
  });

  it.each([
    [
      "before it in a page",
      `${signature}<b>All is well.</b><pre id="seal">${escaped}</pre></footer></main></body></html>`,
    ],
    [
      "after it in a page",
      `${signature}<pre id="seal">${escaped}</pre><b>All is well.</b></footer></main></body></html>`,
    ],
    [
      "behind a page",
      `${signature}<pre id="seal">${escaped}</pre></footer></main></body></html><b>All is well.</b>`,
    ],
    ["twice", `"seal":${json.replace("{", '{"kind":"x",')}}`],
    ["with more space", `"seal":${json.replace(":", ": ")}}`],
  ])("is refused with something %s", async (_, last) => {
    await expect(readSeal(new TextEncoder().encode(`${content}${last}\n`))).rejects.toThrow(
      /no seal|was changed|cannot be read/,
    );
  });
});

import type { Schemas } from "@/api/client";
import { hex, sha256 } from "./sha256";

export type Seal = Schemas["Seal"];

/** A report as it was read: its seal, and the hash and number of the bytes before it. */
export type Sealed = { seal: Seal; sha256: string; bytes: number };

/** Reads a report in any of its formats: the seal is its last line that is not blank. */
export async function readSeal(file: Uint8Array<ArrayBuffer>): Promise<Sealed> {
  let end = file.length;
  while (end > 0 && blank(file[end - 1])) end--;
  let begin = end;
  while (begin > 0 && file[begin - 1] !== 10) begin--;
  const text = sealText(new TextDecoder().decode(file.subarray(begin, end)).trim());
  if (!text)
    throw new Error("There is no seal at its end: it is no report of Warder, or its end is missing.");
  let seal: Seal;
  try {
    seal = JSON.parse(text);
  } catch {
    throw new Error("The seal at its end cannot be read.");
  }
  // No hash covers the last line: nothing but the seal may stand in it.
  if (written(seal) !== text) throw new Error("The line of its seal was changed.");
  return { seal, sha256: await digest(file.subarray(0, begin)), bytes: begin };
}

const blank = (c: number | undefined) => c === 10 || c === 13 || c === 32 || c === 9;

/** How the seal stands in the last line, by format: before it, after it, and how it is read. */
const forms: [string, string, (text: string) => string][] = [
  ['{"section":"seal","seal":', "}", (text) => text],
  ['"seal":', "}", (text) => text],
  ['"seal","', '"', (text) => text.replaceAll('""', '"')],
  [
    '<footer><h2>Signature</h2><p>This line seals everything above it: warder export verify FILE.</p><pre id="seal">',
    "</pre></footer></main></body></html>",
    (text) =>
      text
        .replaceAll("&#34;", '"')
        .replaceAll("&#39;", "'")
        .replaceAll("&lt;", "<")
        .replaceAll("&gt;", ">")
        .replaceAll("&amp;", "&"),
  ],
];

function sealText(line: string): string | undefined {
  for (const [before, after, read] of forms)
    if (line.startsWith(before) && line.endsWith(after) && line.length >= before.length + after.length)
      return read(line.slice(before.length, line.length - after.length));
  return undefined;
}

/** The seal as Warder writes it, which escapes what means something in a page. */
function written(seal: Seal): string {
  return JSON.stringify(seal).replace(
    /[<>&\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

async function digest(data: Uint8Array<ArrayBuffer>): Promise<string> {
  if (!globalThis.crypto?.subtle) return hex(sha256(data));
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return [...sum].map((b) => b.toString(16).padStart(2, "0")).join("");
}

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
  const seal = read(line(file.subarray(begin, end)));
  return { seal, sha256: await digest(file.subarray(0, begin)), bytes: begin };
}

const blank = (c: number | undefined) => c === 10 || c === 13 || c === 32 || c === 9;

const missing = "There is no seal at its end: it is no report of Warder, or its end is missing.";

function line(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Error(missing);
  }
}

const escapes: [string, string][] = [
  ["&", "&amp;"],
  ["'", "&#39;"],
  ["<", "&lt;"],
  [">", "&gt;"],
  ['"', "&#34;"],
];

/** How the seal stands in the last line, by format: before it, after it, written and read. */
const forms: Record<string, [string, string, (text: string) => string, (text: string) => string]> = {
  json: ['"seal":', "}", (text) => text, (text) => text],
  ndjson: ['{"section":"seal","seal":', "}", (text) => text, (text) => text],
  csv: ['"seal","', '"', (text) => text.replaceAll('"', '""'), (text) => text.replaceAll('""', '"')],
  html: [
    '<footer><h2>Signature</h2><p>This line seals everything above it: warder export verify FILE.</p><pre id="seal">',
    "</pre></footer></main></body></html>",
    (text) => escapes.reduce((t, [c, e]) => t.replaceAll(c, e), text),
    (text) => escapes.reduceRight((t, [c, e]) => t.replaceAll(e, c), text),
  ],
};

/** Reads the last line. No hash covers it, so it has to be the one that Warder writes. */
function read(last: string): Seal {
  for (const [format, [before, after, write, unwrite]] of Object.entries(forms)) {
    if (!last.startsWith(before) || !last.endsWith(after) || last.length < before.length + after.length)
      continue;
    let seal: Seal;
    try {
      seal = JSON.parse(unwrite(last.slice(before.length, last.length - after.length)));
    } catch {
      throw new Error("The seal at its end cannot be read.");
    }
    if (seal?.format !== format || before + write(text(seal)) + after !== last)
      throw new Error("The line of its seal was changed.");
    return seal;
  }
  throw new Error(missing);
}

const fields = [
  "kind",
  "instance",
  "from",
  "to",
  "tz",
  "format",
  "created",
  "by",
  "blocks",
  "bytes",
  "sha256",
  "key",
  "signature",
] as const satisfies (keyof Seal)[];

const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d*[1-9])?Z$/;

/** The seal as Warder writes it: its fields in order, times in UTC, what means something in a page escaped. */
function text(seal: Seal): string {
  if (![seal.from, seal.to, seal.created].every((t) => time.test(t))) return "";
  return JSON.stringify(Object.fromEntries(fields.map((f) => [f, seal[f]]))).replace(
    /[<>&\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

async function digest(data: Uint8Array<ArrayBuffer>): Promise<string> {
  if (!globalThis.crypto?.subtle) return hex(sha256(data));
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return [...sum].map((b) => b.toString(16).padStart(2, "0")).join("");
}

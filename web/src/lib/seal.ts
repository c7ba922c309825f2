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
  return { seal, sha256: await digest(file.subarray(0, begin)), bytes: begin };
}

const blank = (c: number | undefined) => c === 10 || c === 13 || c === 32 || c === 9;

function sealText(line: string): string | undefined {
  if (line.startsWith('{"section":"seal","seal":')) return line.slice(25).replace(/}$/, "");
  if (line.startsWith('"seal":')) return line.slice(7).replace(/}$/, "");
  if (line.startsWith('"seal","')) return line.slice(8).replace(/"$/, "").replaceAll('""', '"');
  const page = /<pre id="seal">(.*?)<\/pre>/.exec(line)?.[1];
  return page
    ?.replaceAll("&#34;", '"')
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");
}

async function digest(data: Uint8Array<ArrayBuffer>): Promise<string> {
  if (!globalThis.crypto?.subtle) return hex(sha256(data));
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return [...sum].map((b) => b.toString(16).padStart(2, "0")).join("");
}

import { sha256 } from "./sha256";

// The proof of work of a challenge: a decimal number N such that the SHA-256
// of challenge + "." + N begins with as many zero bits as the challenge's
// second field says.

function ascii(text: string): Uint8Array {
  const out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  return out;
}

function zeros(words: Uint32Array): number {
  let n = 0;
  for (const word of words) {
    if (word !== 0) return n + Math.clz32(word);
    n += 32;
  }
  return n;
}

/** Solves a challenge without freezing the page; the token to send back. */
export async function solve(challenge: string, signal?: AbortSignal): Promise<string> {
  const difficulty = Number(challenge.split(".")[1]);
  if (!(difficulty >= 1 && difficulty <= 32))
    throw new Error("This page does not know how to solve the challenge.");
  for (let n = 0; ; ) {
    const until = performance.now() + 25;
    while (performance.now() < until) {
      for (let i = 0; i < 200; i++, n++) {
        const token = `${challenge}.${n}`;
        if (zeros(sha256(ascii(token))) >= difficulty) return token;
      }
    }
    signal?.throwIfAborted();
    await new Promise((resume) => setTimeout(resume));
  }
}

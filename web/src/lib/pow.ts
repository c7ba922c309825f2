// The proof of work of a challenge: a decimal number N such that the SHA-256
// of challenge + "." + N begins with as many zero bits as the challenge's
// second field says. crypto.subtle is missing where the page came without TLS
// and is slow for many short texts, so the hash is computed here.

const k = new Uint32Array(64);
const start = new Uint32Array(8);
{
  // The constants of FIPS 180-4: fractions of the roots of the first primes.
  const fraction = (x: number) => ((x - Math.floor(x)) * 2 ** 32) | 0;
  let n = 0;
  for (let p = 2; n < 64; p++) {
    let prime = true;
    for (let d = 2; d * d <= p; d++) if (p % d === 0) prime = false;
    if (!prime) continue;
    if (n < 8) start[n] = fraction(Math.sqrt(p));
    k[n++] = fraction(Math.cbrt(p));
  }
}

const w = new Uint32Array(64);
const rotate = (x: number, n: number) => (x >>> n) | (x << (32 - n));

/** SHA-256 of a text of ASCII, as eight words. */
export function sha256(text: string): Uint32Array {
  const length = text.length;
  const blocks = (length + 9 + 63) >> 6;
  const data = new Uint8Array(blocks * 64);
  for (let i = 0; i < length; i++) data[i] = text.charCodeAt(i);
  data[length] = 0x80;
  const view = new DataView(data.buffer);
  view.setUint32(data.length - 4, length * 8);
  const h = start.slice();
  for (let at = 0; at < data.length; at += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getUint32(at + i * 4);
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15] as number;
      const y = w[i - 2] as number;
      const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3);
      const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10);
      w[i] = ((w[i - 16] as number) + s0 + (w[i - 7] as number) + s1) | 0;
    }
    let [a, b, c, d, e, f, g, z] = h as unknown as [number, number, number, number, number, number, number, number];
    for (let i = 0; i < 64; i++) {
      const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
      const t1 = (z + s1 + ((e & f) ^ (~e & g)) + (k[i] as number) + (w[i] as number)) | 0;
      const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      z = g;
      g = f;
      f = e;
      e = (d + t1) | 0;
      d = c;
      c = b;
      b = a;
      a = (t1 + t2) | 0;
    }
    const add = [a, b, c, d, e, f, g, z];
    for (let i = 0; i < 8; i++) h[i] = (h[i] as number) + (add[i] as number);
  }
  return h;
}

export const hex = (words: Uint32Array) => [...words].map((x) => x.toString(16).padStart(8, "0")).join("");

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
  if (!(difficulty >= 1 && difficulty <= 32)) throw new Error("This page does not know how to solve the challenge.");
  for (let n = 0; ; ) {
    const until = performance.now() + 25;
    while (performance.now() < until) {
      for (let i = 0; i < 200; i++, n++) {
        const token = `${challenge}.${n}`;
        if (zeros(sha256(token)) >= difficulty) return token;
      }
    }
    signal?.throwIfAborted();
    await new Promise((resume) => setTimeout(resume));
  }
}

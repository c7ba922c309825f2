// crypto.subtle is missing where a page came without TLS, and is slow for many
// short texts: so SHA-256 (FIPS 180-4) stands here.

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

/** SHA-256 of bytes, as eight words. */
export function sha256(data: Uint8Array): Uint32Array {
  const whole = data.length & ~63;
  const h = start.slice();
  rounds(h, new DataView(data.buffer, data.byteOffset, whole));
  const rest = new Uint8Array(data.length - whole < 56 ? 64 : 128);
  rest.set(data.subarray(whole));
  rest[data.length - whole] = 0x80;
  const view = new DataView(rest.buffer);
  view.setUint32(rest.length - 8, Math.floor(data.length / 2 ** 29));
  view.setUint32(rest.length - 4, data.length << 3);
  rounds(h, view);
  return h;
}

function rounds(h: Uint32Array, view: DataView) {
  for (let at = 0; at < view.byteLength; at += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getUint32(at + i * 4);
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15] as number;
      const y = w[i - 2] as number;
      const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3);
      const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10);
      w[i] = ((w[i - 16] as number) + s0 + (w[i - 7] as number) + s1) | 0;
    }
    let [a, b, c, d, e, f, g, z] = h as unknown as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
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
}

export const hex = (words: Uint32Array) => [...words].map((x) => x.toString(16).padStart(8, "0")).join("");

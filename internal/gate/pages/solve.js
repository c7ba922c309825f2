// Looks for a decimal number N such that the SHA-256 of text + N begins with
// bits zero bits. step(count) tries that many numbers and returns the one that
// solves it, or "".
function solver(text, bits) {
  "use strict";
  const K = new Uint32Array(64), H = new Uint32Array(8);
  for (let n = 2, i = 0; i < 64; n++) {
    let prime = true;
    for (let f = 2; f * f <= n; f++) if (n % f === 0) { prime = false; break; }
    if (!prime) continue;
    const part = (x) => ((x - Math.floor(x)) * 4294967296) >>> 0;
    if (i < 8) H[i] = part(Math.sqrt(n));
    K[i++] = part(Math.cbrt(n));
  }
  const W = new Uint32Array(64);
  const block = (bytes, at, state) => {
    for (let i = 0, j = at; i < 16; i++, j += 4) W[i] = bytes[j] << 24 | bytes[j + 1] << 16 | bytes[j + 2] << 8 | bytes[j + 3];
    for (let i = 16; i < 64; i++) {
      const x = W[i - 15], y = W[i - 2];
      W[i] = W[i - 16] + ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3) + W[i - 7] +
        ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10);
    }
    let a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
    for (let i = 0; i < 64; i++) {
      const t1 = h + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + (e & f ^ ~e & g) + K[i] + W[i] | 0;
      const t2 = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + (a & b ^ a & c ^ b & c) | 0;
      h = g; g = f; f = e; e = d + t1 | 0; d = c; c = b; b = a; a = t1 + t2 | 0;
    }
    state[0] += a; state[1] += b; state[2] += c; state[3] += d; state[4] += e; state[5] += f; state[6] += g; state[7] += h;
  };
  // The blocks that are the same for every number are digested once.
  const head = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) head[i] = text.charCodeAt(i);
  const whole = head.length - head.length % 64;
  const begun = H.slice();
  for (let at = 0; at < whole; at += 64) block(head, at, begun);
  const rest = head.length - whole;
  const tail = new Uint8Array(128), state = new Uint32Array(8);
  let n = 0;
  return function step(count) {
    for (let i = 0; i < count; i++, n++) {
      const digits = String(n);
      tail.fill(0);
      tail.set(head.subarray(whole));
      for (let j = 0; j < digits.length; j++) tail[rest + j] = digits.charCodeAt(j);
      tail[rest + digits.length] = 128;
      const end = rest + digits.length + 9 > 64 ? 128 : 64;
      const length = (head.length + digits.length) * 8;
      for (let j = 1, v = length; j <= 4; j++, v = v >>> 8) tail[end - j] = v & 255;
      state.set(begun);
      block(tail, 0, state);
      if (end === 128) block(tail, 64, state);
      if (Math.clz32(state[0]) >= bits) return digits;
    }
    return "";
  };
}

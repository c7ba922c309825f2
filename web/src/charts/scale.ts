/** The arithmetic of the charts: ticks, labels, the bucket under a pointer. */

/** Whole numbers for the axis of counts, from 0 to at least max: at most n steps. */
export function countTicks(max: number, n = 4): number[] {
  const top = Math.max(max, 1);
  let step = 1;
  for (let size = 1; Math.ceil(top / step) > n; size *= 10) {
    step = [1, 2, 2.5, 5, 10].map((m) => m * size).find((s) => Number.isInteger(s) && top / s <= n) ?? step;
  }
  return Array.from({ length: Math.ceil(top / step) + 1 }, (_, i) => i * step);
}

/** The powers of ten up to the first that max does not exceed, after a 0. */
export function logTicks(max: number): number[] {
  const out = [0, 1];
  while ((out.at(-1) as number) < max) out.push((out.at(-1) as number) * 10);
  return out;
}

/** Height of a count on a scale of `ticks`, from 0 (bottom) to 1 (top). */
export function share(count: number, ticks: number[], log: boolean): number {
  const top = ticks.at(-1) ?? 1;
  return log ? Math.log1p(count) / Math.log1p(top) : count / top;
}

/** The place, from 0 to count - 1, that is nearest to x on an axis of this width. */
export function nearest(x: number, width: number, count: number): number {
  if (count <= 1 || width <= 0) return 0;
  return Math.min(count - 1, Math.max(0, Math.round((x / width) * (count - 1))));
}

/** Where the i-th of count places stands on an axis of this width. */
export function place(i: number, width: number, count: number): number {
  return count <= 1 ? width / 2 : (i / (count - 1)) * width;
}

/** Which of count labels are written, so that each has `room` pixels: always
 * the last, and every n-th before it. */
export function labelled(count: number, width: number, room: number): number[] {
  const n = Math.max(1, Math.ceil((count * room) / Math.max(width, 1)));
  const out: number[] = [];
  for (let i = count - 1; i >= 0; i -= n) out.unshift(i);
  return out;
}

/** Shares of a circle as angles from 0 to 2π, clockwise from the top. */
export function angles(values: number[]): [number, number][] {
  const total = values.reduce((a, b) => a + b, 0);
  let at = 0;
  return values.map((v) => {
    const from = at;
    at += total > 0 ? (v / total) * 2 * Math.PI : 0;
    return [from, at];
  });
}

/** A per cent with as many digits as it needs: "<0.1 %", "3.4 %", "62 %". */
export function percent(part: number, whole: number): string {
  if (whole <= 0 || part <= 0) return "0 %";
  const p = (part / whole) * 100;
  if (p < 0.1) return "<0.1 %";
  return `${p < 10 ? p.toFixed(1) : p > 99.5 && part < whole ? "99" : Math.round(p)} %`;
}

/** A line of a comparison: kept, taken away, or added. */
export type DiffLine = { kind: "same" | "gone" | "new"; text: string; before?: number; after?: number };

/** Compares two texts line by line (longest common subsequence). */
export function diffLines(before: string, after: string): DiffLine[] {
  const a = split(before);
  const b = split(after);
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (
    tail < a.length - head &&
    tail < b.length - head &&
    a[a.length - 1 - tail] === b[b.length - 1 - tail]
  )
    tail++;
  const n = a.length - head - tail;
  const m = b.length - head - tail;
  // A policy may have 10,000 addresses: beyond a bound the middle is shown as replaced.
  const table = n * m <= 4_000_000 ? lengths(a.slice(head, head + n), b.slice(head, head + m)) : undefined;
  const out: DiffLine[] = [];
  const same = (i: number, j: number) =>
    out.push({ kind: "same", text: a[i] as string, before: i + 1, after: j + 1 });
  for (let i = 0; i < head; i++) same(i, i);
  let i = 0;
  let j = 0;
  while (i < n || j < m) {
    if (table && i < n && j < m && a[head + i] === b[head + j]) same(head + i++, head + j++);
    else if (i < n && (j >= m || !table || at(table, i + 1, j) >= at(table, i, j + 1)))
      out.push({ kind: "gone", text: a[head + i] as string, before: head + ++i });
    else out.push({ kind: "new", text: b[head + j] as string, after: head + ++j });
  }
  for (let k = 0; k < tail; k++) same(head + n + k, head + m + k);
  return out;
}

const split = (text: string) => (text === "" ? [] : text.replace(/\n$/, "").split("\n"));

const at = (table: Uint32Array[], i: number, j: number) => table[i]?.[j] ?? 0;

function lengths(a: string[], b: string[]): Uint32Array[] {
  const table = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      (table[i] as Uint32Array)[j] =
        a[i] === b[j] ? at(table, i + 1, j + 1) + 1 : Math.max(at(table, i + 1, j), at(table, i, j + 1));
  return table;
}

/** What stays of a comparison when unchanged lines far from changes are left
 * out; a number stands for how many were. */
export function condense(lines: DiffLine[], around = 3): (DiffLine | number)[] {
  const near = new Uint8Array(lines.length);
  lines.forEach((line, i) => {
    if (line.kind !== "same") near.fill(1, Math.max(0, i - around), Math.min(lines.length, i + around + 1));
  });
  const out: (DiffLine | number)[] = [];
  let left = 0;
  lines.forEach((line, i) => {
    if (near[i]) {
      if (left > 0) out.push(left);
      left = 0;
      out.push(line);
    } else left++;
  });
  if (left > 0 && out.length > 0) out.push(left);
  return out;
}

import { type Doc, same } from "./draft";

/**
 * Puts an edit on top of a policy that somebody else changed meanwhile: what
 * only one side changed is taken from that side. Where both changed the same
 * thing in different ways the edit stays, and the place is named in conflicts.
 */
export function merge(base: Doc, mine: Doc, theirs: Doc): { doc: Doc; conflicts: string[] } {
  const conflicts: string[] = [];
  return { doc: value(base, mine, theirs, "", conflicts) as Doc, conflicts };
}

type Obj = Record<string, unknown>;
const isObject = (v: unknown): v is Obj => typeof v === "object" && v !== null && !Array.isArray(v);

function value(base: unknown, mine: unknown, theirs: unknown, at: string, conflicts: string[]): unknown {
  if (same(mine, theirs) || same(base, theirs)) return mine;
  if (same(base, mine)) return theirs;
  if (isObject(mine) && isObject(theirs))
    return object(isObject(base) ? base : {}, mine, theirs, at, conflicts);
  const [b, m, t] = [base ?? [], mine ?? [], theirs ?? []] as const;
  if (Array.isArray(b) && Array.isArray(m) && Array.isArray(t)) {
    const key = keyOf([...b, ...m, ...t]);
    if (key) return keyed(b, m, t, key, at, conflicts);
  }
  conflicts.push(at);
  return mine;
}

function object(base: Obj, mine: Obj, theirs: Obj, at: string, conflicts: string[]): Obj {
  const out: Obj = {};
  for (const k of new Set([...Object.keys(mine), ...Object.keys(theirs)])) {
    const v = value(base[k], mine[k], theirs[k], at ? `${at}.${k}` : k, conflicts);
    if (v !== undefined) out[k] = v;
  }
  // One of the two durations only: whichever mine has.
  if ("escalate" in out && "cooling_period" in out)
    delete out["escalate" in mine ? "cooling_period" : "escalate"];
  return out;
}

/** Lists of named things and of plain texts are merged entry by entry. */
function keyOf(entries: unknown[]): ((x: unknown) => string) | undefined {
  if (entries.every((e) => typeof e === "string")) return (e) => e as string;
  for (const name of ["id", "name", "ip"]) {
    if (entries.every((e) => isObject(e) && typeof e[name] === "string"))
      return (e) => (e as Obj)[name] as string;
  }
  return undefined;
}

function keyed(
  base: unknown[],
  mine: unknown[],
  theirs: unknown[],
  key: (x: unknown) => string,
  at: string,
  conflicts: string[],
): unknown[] {
  const byKey = (list: unknown[]) => new Map(list.map((x) => [key(x), x]));
  const [b, m, t] = [byKey(base), byKey(mine), byKey(theirs)];
  const out: unknown[] = [];
  const take = (k: string) => {
    const [was, my, their] = [b.get(k), m.get(k), t.get(k)];
    const place = `${at}[${k}]`;
    if (my !== undefined && their !== undefined) out.push(value(was, my, their, place, conflicts));
    else if (my !== undefined) {
      // They deleted it, or I added it.
      if (was === undefined || !same(was, my)) {
        out.push(my);
        if (was !== undefined) conflicts.push(place);
      }
    } else if (their !== undefined) {
      // I deleted it, or they added it.
      if (was === undefined) out.push(their);
      else if (!same(was, their)) conflicts.push(place);
    }
  };
  // The order is mine, unless only they changed it.
  const order = (list: unknown[]) => list.map(key).filter((k) => b.has(k) && m.has(k) && t.has(k));
  const first = same(order(mine), order(base)) && !same(order(theirs), order(base)) ? theirs : mine;
  const second = first === mine ? theirs : mine;
  for (const k of new Set([...first.map(key), ...second.map(key)])) take(k);
  return out;
}

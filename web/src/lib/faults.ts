import { type Fault, Problem } from "@/api/client";

/** The faults of an answer by their place, without the "body." before it. */
export type Faults = Record<string, string>;

export function placed(faults: Fault[]): Faults {
  const out: Faults = {};
  for (const f of faults) {
    const place = (f.location ?? "").replace(/^body\.?/, "");
    const message = f.message ?? "is not right";
    out[place] = out[place] ? `${out[place]}; ${message}` : message;
  }
  return out;
}

export const faultsOf = (error: unknown): Faults => (error instanceof Problem ? placed(error.faults) : {});

/** The fault at a place or anywhere inside of it; undefined if there is none.
 * Inside of a list it says which entry, counted from one. */
export function faultAt(faults: Faults, place: string): string | undefined {
  if (faults[place]) return faults[place];
  for (const [at, message] of Object.entries(faults)) {
    if (!at.startsWith(`${place}[`) && !at.startsWith(`${place}.`)) continue;
    const index = /^\[(\d+)\]/.exec(at.slice(place.length));
    return index ? `Entry ${Number(index[1]) + 1}: ${message}` : message;
  }
  return undefined;
}

/** The faults that no field of a form shows. */
export function faultsElsewhere(faults: Faults, fields: string[]): Faults {
  const shown = (at: string) =>
    fields.some((f) => at === f || at.startsWith(`${f}[`) || at.startsWith(`${f}.`));
  return Object.fromEntries(Object.entries(faults).filter(([at]) => !shown(at)));
}

/** What a list is filtered by, as it stands in the URL: ?severity=high&severity=critical&not_name=LOGOUT.
 * A field may be included (`severity`) or excluded (`not_severity`); several
 * values of one field are alternatives. The API takes one value only of the
 * fields in `single`. */
export type Filters = Record<string, string[]>;

export const fields = [
  "name",
  "severity",
  "ip",
  "account",
  "realm",
  "rule",
  "session",
  "reason",
  "action",
  "app",
  "q",
] as const;
export type Field = (typeof fields)[number];
const single = new Set([
  ...["ip", "account", "realm", "rule", "session", "reason", "app", "q", "not_account"],
  ...["event", "source", "state", "reviewed"], // of blocks
]);
export const excluded = (field: string) => `not_${field}`;

/** Takes the filters out of the search parameters of a page. */
export function readFilters(search: Record<string, unknown>, names: readonly string[] = fields): Filters {
  const out: Filters = {};
  for (const name of names.flatMap((n) => [n, excluded(n)])) {
    const value = search[name];
    const values = (Array.isArray(value) ? value : [value])
      .filter((v) => v !== undefined && v !== null && v !== "")
      .map(String);
    if (values.length > 0) out[name] = [...new Set(values)];
  }
  return out;
}

/** The filters with a value included (or excluded); it is taken from the other side. */
export function withFilter(filters: Filters, field: string, value: string, exclude = false): Filters {
  const here = exclude ? excluded(field) : field;
  const there = exclude ? field : excluded(field);
  const out = withoutFilter(filters, there, value);
  return { ...out, [here]: single.has(here) ? [value] : [...new Set([...(out[here] ?? []), value])] };
}

/** The filters as the API's query: lists where it takes lists, else one value. */
export function toQuery(filters: Filters): Record<string, string | string[] | undefined> {
  return Object.fromEntries(Object.entries(filters).map(([k, v]) => [k, single.has(k) ? v[0] : v]));
}

/** The filters without one value. */
export function withoutFilter(filters: Filters, key: string, value: string): Filters {
  const left = (filters[key] ?? []).filter((v) => v !== value);
  const { [key]: _, ...rest } = filters;
  return left.length > 0 ? { ...rest, [key]: left } : rest;
}

/** Query strings without JSON in them, so that a URL can be read and written by hand. */
export function parseSearch(text: string): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = {};
  for (const [key, value] of new URLSearchParams(text)) {
    const before = out[key];
    out[key] = before === undefined ? value : Array.isArray(before) ? [...before, value] : [before, value];
  }
  return out;
}

export function stringifySearch(search: Record<string, unknown>): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(search)) {
    for (const v of Array.isArray(value) ? value : [value]) {
      if (v !== undefined && v !== null && v !== "") params.append(key, String(v));
    }
  }
  const text = params.toString();
  return text ? `?${text}` : "";
}

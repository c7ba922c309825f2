import { excluded, type Filters } from "@/lib/filters";

/** What the entries of a legend do to the filters in the URL. A chart, its
 * table and the lists below it read the same filters, so they change together. */

/** Whether the filters let a value of a field through. */
export function shown(filters: Filters, field: string, value: string): boolean {
  const only = filters[field] ?? [];
  return (only.length === 0 || only.includes(value)) && !(filters[excluded(field)] ?? []).includes(value);
}

/** Shows a value that is hidden, hides one that is shown. */
export function toggled(filters: Filters, field: string, value: string): Filters {
  const only = filters[field] ?? [];
  const not = filters[excluded(field)] ?? [];
  if (!shown(filters, field, value)) {
    return set(
      filters,
      field,
      only.length > 0 && !only.includes(value) ? [...only, value] : only,
      not.filter((v) => v !== value),
    );
  }
  // Hiding the last that is left of a choice ends the choice: an empty page
  // would look like a quiet night.
  if (only.length > 0)
    return set(
      filters,
      field,
      only.filter((v) => v !== value),
      not,
    );
  return set(filters, field, only, [...not, value]);
}

/** Shows this value only; once more: all again. */
export function only(filters: Filters, field: string, value: string): Filters {
  const alone = filters[field]?.length === 1 && filters[field]?.[0] === value;
  return set(filters, field, alone ? [] : [value], []);
}

/** Leaves this value out. */
export function without(filters: Filters, field: string, value: string): Filters {
  return shown(filters, field, value) ? toggled(filters, field, value) : filters;
}

/** Shows all values of the field. */
export function all(filters: Filters, field: string): Filters {
  return set(filters, field, [], []);
}

function set(filters: Filters, field: string, include: string[], exclude: string[]): Filters {
  const { [field]: _, [excluded(field)]: __, ...rest } = filters;
  return {
    ...rest,
    ...(include.length > 0 ? { [field]: include } : {}),
    ...(exclude.length > 0 ? { [excluded(field)]: exclude } : {}),
  };
}

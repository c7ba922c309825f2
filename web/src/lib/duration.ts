export const units = [
  { seconds: 1, label: "seconds" },
  { seconds: 60, label: "minutes" },
  { seconds: 3600, label: "hours" },
  { seconds: 86400, label: "days" },
];

/** The largest unit that a number of seconds is a whole multiple of. */
export function bestUnit(seconds: number | undefined): number {
  if (!seconds) return 1;
  return units.findLast((u) => seconds % u.seconds === 0)?.seconds ?? 1;
}

/** "15 minutes", "1 hour", "36 hours": in words, exactly. */
export function inWords(seconds: number): string {
  const unit = bestUnit(seconds);
  const n = seconds / unit;
  const label = units.find((u) => u.seconds === unit)?.label ?? "seconds";
  return `${n.toLocaleString("en")} ${n === 1 ? label.slice(0, -1) : label}`;
}

import dayjs from "dayjs";
import timezone from "dayjs/plugin/timezone";
import utc from "dayjs/plugin/utc";

dayjs.extend(utc);
dayjs.extend(timezone);

/** The time zone that dates are shown in: the operator's, else the browser's. */
let zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
export const timeZone = () => zone;

/** Writes instants as the clock of a zone shows them, the Swedish way, which is
 * ISO 8601. It is kept, since to make one takes much longer than to use it. */
const clockOf = (name: string) =>
  new Intl.DateTimeFormat("sv-SE", { timeZone: name, dateStyle: "short", timeStyle: "medium" });
let clock = clockOf(zone);

export function setTimeZone(name: string | undefined) {
  if (!name) return;
  try {
    clock = clockOf(name);
    zone = name;
  } catch {
    // A name that this browser does not know: keep the browser's own.
  }
}

/** "2026-11-22 14:03:07", in the operator's time zone. */
export function exact(t: string | number | Date): string {
  const at = new Date(t);
  return Number.isNaN(at.getTime()) ? "Invalid Date" : clock.format(at); // a URL may say anything
}
export const day = (t: string | number | Date) => dayjs(t).tz(zone).format("D MMM YYYY");

const steps: [number, string, string][] = [
  [60, "s", "s"],
  [60, "min", "min"],
  [24, "h", "h"],
  [30, "day", "days"],
  [12, "month", "months"],
  [Number.POSITIVE_INFINITY, "year", "years"],
];

/** "just now", "19 min ago", "in 3 days": short, so that lists stay calm. */
export function relative(t: string | number | Date, now = Date.now()): string {
  const ahead = dayjs(t).valueOf() - now;
  let n = Math.abs(ahead) / 1000;
  if (n < 45) return ahead > 5_000 ? "in a moment" : "just now";
  for (const [size, one, many] of steps) {
    const whole = Math.round(n);
    if (whole < size) {
      const text = `${whole} ${whole === 1 ? one : many}`;
      return ahead > 0 ? `in ${text}` : `${text} ago`;
    }
    n /= size;
  }
  return exact(t);
}

/** "3 h", "15 min", "2 days"; 0 is permanent. */
export function duration(seconds: number): string {
  if (!seconds) return "permanent";
  const units: [number, string][] = [
    [86400, "day"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  for (const [size, name] of units) {
    if (seconds >= size && (seconds % size === 0 || size === 1 || seconds > 10 * size)) {
      const n = Math.round(seconds / size);
      return name === "day" ? `${n} day${n === 1 ? "" : "s"}` : `${n} ${name}`;
    }
  }
  return `${seconds} s`;
}

/** The ranges on offer, in days or hours. A range in the URL is one of these
 * names (it stays relative) or two instants, "from..to". */
export const ranges = {
  "1h": 3600,
  "24h": 86400,
  "7d": 7 * 86400,
  "30d": 30 * 86400,
  "90d": 90 * 86400,
} as const;
export type RangeName = keyof typeof ranges;
export const rangeLabels: Record<RangeName, string> = {
  "1h": "1 h",
  "24h": "24 h",
  "7d": "7 days",
  "30d": "30 days",
  "90d": "90 days",
};

/** When the day of an instant begins in the operator's time zone, or the day so
 * many days later; days are as long as the clock makes them. */
export function startOfDay(t: string | number | Date, later = 0): dayjs.Dayjs {
  const date = dayjs.utc(dayjs(t).tz(zone).format("YYYY-MM-DD")).add(later, "day").format("YYYY-MM-DD");
  return dayjs.tz(date, zone);
}

export type Span = { from: string; to?: string };

/** Turns a range of the URL into instants. Relative ranges begin on a whole
 * minute, so that the same range asked twice in a minute is the same query. */
export function span(range: string | undefined, now = Date.now()): Span {
  const [from, to] = (range ?? "").split("..");
  if (from && to && dayjs(from).isValid() && dayjs(to).isValid()) {
    return { from: dayjs(from).toISOString(), to: dayjs(to).toISOString() };
  }
  const seconds = ranges[(range ?? "30d") as RangeName] ?? ranges["30d"];
  if (seconds >= 2 * 86400) {
    // Whole days of the operator: today and the days before it.
    return {
      from: startOfDay(now, 1 - seconds / 86400).toISOString(),
    };
  }
  return { from: new Date(Math.floor((now - seconds * 1000) / 60000) * 60000).toISOString() };
}

export { dayjs };

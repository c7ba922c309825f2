import { type Severity, severities, severityLook } from "@/lib/severity";
import { dayjs, startOfDay, timeZone } from "@/lib/time";
import { labelled } from "./scale";

export type Bucket = { time: string; info: number; warning: number; high: number; critical: number };
export type BucketSize = "minute" | "quarter" | "hour" | "day";

export const total = (b: Bucket, of: readonly Severity[] = severities) =>
  of.reduce((sum, s) => sum + b[s], 0);

/** When a bucket ends: where the next begins, a day being as long as the clock makes it. */
export function bucketEnd(buckets: Bucket[], i: number, size: BucketSize): string {
  const next = buckets[i + 1];
  if (next) return next.time;
  const begin = buckets[i]?.time ?? "";
  if (size === "day") return startOfDay(begin, 1).toISOString();
  return dayjs(begin)
    .add(size === "hour" ? 60 : size === "quarter" ? 15 : 1, "minute")
    .toISOString();
}

/** Whether a bucket is not over yet: what it counts can still grow. */
export function partial(buckets: Bucket[], i: number, size: BucketSize, now = Date.now()): boolean {
  return Date.parse(bucketEnd(buckets, i, size)) > now;
}

/** "Sat 22 Nov 2026" or "Sat 22 Nov 2026, 14:00–15:00". */
export function bucketName(buckets: Bucket[], i: number, size: BucketSize): string {
  const begin = dayjs(buckets[i]?.time).tz(timeZone());
  if (size === "day") return begin.format("ddd D MMM YYYY");
  const end = dayjs(bucketEnd(buckets, i, size)).tz(timeZone());
  return `${begin.format("ddd D MMM YYYY, HH:mm")}–${end.format("HH:mm")}`;
}

/** Which places have a label below the axis. Hours of several days are labelled
 * where a day begins. */
export function ticksOf(buckets: Bucket[], size: BucketSize, span: number, width: number): number[] {
  if (size === "day" || span <= 2 * 86_400_000)
    return labelled(buckets.length, width, size === "day" ? 62 : 54);
  const days = buckets.map((_, i) => i).filter((i) => midnight(buckets, i));
  const each = (width / buckets.length) * (24 / hours[size]); // pixels of a day
  return labelled(days.length, each * days.length, 62).map((i) => days[i] as number);
}

const hours: Record<BucketSize, number> = { minute: 1 / 60, quarter: 1 / 4, hour: 1, day: 24 };
const midnight = (buckets: Bucket[], i: number) =>
  dayjs(buckets[i]?.time).tz(timeZone()).format("HH:mm") === "00:00";

/** The label below the axis: a day where one begins, else the time of day. */
export function tickName(buckets: Bucket[], i: number, size: BucketSize): string {
  const begin = dayjs(buckets[i]?.time).tz(timeZone());
  return begin.format(size === "day" || midnight(buckets, i) ? "D MMM" : "HH:mm");
}

/** One sentence that says what a chart of these severities shows. */
export function summary(buckets: Bucket[], size: BucketSize, of: readonly Severity[] = severities): string {
  const all = buckets.reduce((sum, b) => sum + total(b, of), 0);
  if (all === 0) return "No events in this time.";
  const critical = buckets.reduce((sum, b) => sum + b.critical, 0);
  let peak = 0;
  for (let i = 1; i < buckets.length; i++) {
    if (total(buckets[i] as Bucket, of) > total(buckets[peak] as Bucket, of)) peak = i;
  }
  const n = (x: number) => x.toLocaleString("en");
  const events = `${n(all)} event${all === 1 ? "" : "s"}`;
  const worst = of.includes("critical") && of.length > 1 ? `, ${n(critical)} critical` : "";
  return `${events}${worst}; most on ${bucketName(buckets, peak, size)} (${n(total(buckets[peak] as Bucket, of))}).`;
}

/** The same figures as a table, the latest first. */
export function trendTable(buckets: Bucket[], size: BucketSize, zone: string) {
  return {
    head: [`Time (${zone})`, ...severities.map((s) => severityLook[s].label), "Total"],
    rows: buckets
      .map((b, i) => [
        `${bucketName(buckets, i, size)}${partial(buckets, i, size) ? " (so far)" : ""}`,
        ...severities.map((s) => b[s]),
        total(b),
      ])
      .reverse(),
    csv: toCSV(buckets),
  };
}

/** The series as a text with commas, for a spreadsheet. */
export function toCSV(buckets: Bucket[]): string {
  return [
    "time,info,warning,high,critical",
    ...buckets.map((b) => [b.time, ...severities.map((s) => b[s])].join(",")),
  ].join("\r\n");
}

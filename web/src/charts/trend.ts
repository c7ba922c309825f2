import { type Severity, severities } from "@/lib/severity";
import { dayjs, startOfDay, timeZone } from "@/lib/time";

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

/** The label below the axis: a day, or an hour with its day where one begins. */
export function tickName(buckets: Bucket[], i: number, size: BucketSize, span: number): string {
  const begin = dayjs(buckets[i]?.time).tz(timeZone());
  if (size === "day") return begin.format("D MMM");
  return begin.format(span > 2 * 86_400_000 ? "D MMM HH:mm" : "HH:mm");
}

/** One sentence that says what a chart shows. */
export function summary(buckets: Bucket[], size: BucketSize): string {
  const all = buckets.reduce((sum, b) => sum + total(b), 0);
  if (all === 0) return "No events in this time.";
  const critical = buckets.reduce((sum, b) => sum + b.critical, 0);
  let peak = 0;
  for (let i = 1; i < buckets.length; i++) {
    if (total(buckets[i] as Bucket) > total(buckets[peak] as Bucket)) peak = i;
  }
  const n = (x: number) => x.toLocaleString("en");
  return `${n(all)} event${all === 1 ? "" : "s"}, ${n(critical)} critical; most on ${bucketName(buckets, peak, size)} (${n(total(buckets[peak] as Bucket))}).`;
}

/** The series as a text with commas, for a spreadsheet. */
export function toCSV(buckets: Bucket[]): string {
  return [
    "time,info,warning,high,critical",
    ...buckets.map((b) => [b.time, ...severities.map((s) => b[s])].join(",")),
  ].join("\r\n");
}

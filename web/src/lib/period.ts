import { dayjs } from "./time";

/** The periods that a report can be of, by the names that the API has for them. */
export const periods = [
  { value: "previous_month", label: "Previous month" },
  { value: "previous_quarter", label: "Previous quarter" },
  { value: "this_month", label: "This month" },
  { value: "this_quarter", label: "This quarter" },
  { value: "previous_week", label: "Previous week" },
  { value: "previous_year", label: "Previous year" },
  { value: "last_30_days", label: "Last 30 days" },
  { value: "last_90_days", label: "Last 90 days" },
] as const;
export type Period = (typeof periods)[number]["value"];

/** The first and the last day of a period in a time zone, "2026-07-01". Weeks begin on Monday. */
export function days(period: Period, zone: string, now: number = Date.now()): [string, string] {
  const today = dayjs(dayjs(now).tz(zone).format("YYYY-MM-DD"));
  const month = today.startOf("month");
  const quarter = month.subtract(month.month() % 3, "month");
  const week = today.subtract((today.day() + 6) % 7, "day");
  const span = (from: typeof today, to: typeof today): [string, string] => [
    from.format("YYYY-MM-DD"),
    to.subtract(1, "day").format("YYYY-MM-DD"),
  ];
  switch (period) {
    case "previous_month":
      return span(month.subtract(1, "month"), month);
    case "previous_quarter":
      return span(quarter.subtract(3, "month"), quarter);
    case "this_month":
      return span(month, month.add(1, "month"));
    case "this_quarter":
      return span(quarter, quarter.add(3, "month"));
    case "previous_week":
      return span(week.subtract(7, "day"), week);
    case "previous_year":
      return span(month.startOf("year").subtract(1, "year"), month.startOf("year"));
    case "last_30_days":
      return span(today.subtract(29, "day"), today.add(1, "day"));
    case "last_90_days":
      return span(today.subtract(89, "day"), today.add(1, "day"));
  }
}

/** The instants of whole days in a time zone: the beginning of the first, the end of the last. */
export const instants = (from: string, to: string, zone: string) => ({
  from: dayjs.tz(`${from}T00:00:00`, zone).toISOString(),
  to: dayjs.tz(`${dayjs(to).add(1, "day").format("YYYY-MM-DD")}T00:00:00`, zone).toISOString(),
});

export const dayWords = (day: string) => dayjs(day).format("D MMMM YYYY");

import { Box, Group, Text, Tooltip } from "@mantine/core";
import type { Schemas } from "@/api/client";
import { severities, severityColor, severityLook } from "@/lib/severity";
import { dayjs, timeZone } from "@/lib/time";

type Bucket = Schemas["Bucket"];

/** When something happened: one column a bucket, stacked by severity. Each
 * column tells its numbers on hover and by keyboard. */
export function Strip({
  buckets,
  hourly = false,
  height = 88,
  label,
}: {
  buckets: Bucket[];
  hourly?: boolean;
  height?: number;
  label: string;
}) {
  const total = (b: Bucket) => severities.reduce((n, s) => n + b[s], 0);
  const top = Math.max(1, ...buckets.map(total));
  const name = (b: Bucket) =>
    dayjs(b.time)
      .tz(timeZone())
      .format(hourly ? "D MMM HH:mm" : "ddd D MMM YYYY");
  // Below the columns there is room for three short texts, also on a phone.
  const end = (b: Bucket) =>
    dayjs(b.time)
      .tz(timeZone())
      .format(hourly ? "D MMM HH:mm" : "D MMM YYYY");
  const first = buckets[0];
  const last = buckets[buckets.length - 1];
  if (!first || !last) return null;
  return (
    <Box role="group" aria-label={label}>
      <Box
        style={{
          display: "flex",
          alignItems: "flex-end",
          gap: buckets.length > 60 ? 1 : 2,
          height,
          borderBottom: "1px solid var(--surface-border)",
        }}
      >
        {buckets.map((b) => {
          const n = total(b);
          const text = severities
            .filter((s) => b[s] > 0)
            .map((s) => `${b[s]} ${severityLook[s].label.toLowerCase()}`)
            .join(", ");
          return (
            <Tooltip key={b.time} label={`${name(b)}: ${text || "nothing"}`}>
              <Box
                tabIndex={n > 0 ? 0 : undefined}
                role={n > 0 ? "img" : undefined}
                aria-label={n > 0 ? `${name(b)}: ${text}` : undefined}
                style={{
                  flex: "1 1 0",
                  minWidth: 0,
                  height: "100%",
                  display: "flex",
                  alignItems: "flex-end",
                }}
              >
                <Box
                  style={{
                    width: "100%",
                    height: `${n === 0 ? 0 : Math.max(4, (100 * n) / top)}%`,
                    display: "flex",
                    flexDirection: "column-reverse",
                    borderRadius: "2px 2px 0 0",
                    overflow: "hidden",
                  }}
                >
                  {severities.map((s) =>
                    b[s] > 0 ? (
                      <Box key={s} style={{ flex: `${b[s]} 0 0`, background: severityColor(s) }} />
                    ) : null,
                  )}
                </Box>
              </Box>
            </Tooltip>
          );
        })}
      </Box>
      <Group justify="space-between" mt={4} gap="xs" wrap="nowrap">
        <Text size="xs" c="dimmed">
          {end(first)}
        </Text>
        <Text size="xs" c="dimmed">
          at most {top.toLocaleString("en")} {hourly ? "an hour" : "a day"}
        </Text>
        <Text size="xs" c="dimmed">
          {end(last)}
        </Text>
      </Group>
    </Box>
  );
}

import { Stack, Text, Tooltip } from "@mantine/core";
import { dayjs, exact, relative, timeZone } from "@/lib/time";

/** An instant in a report: date and time to the minute, and below how long ago. */
export function Moment({ at }: { at?: string }) {
  if (!at) return <Text size="sm">–</Text>;
  return (
    <Stack gap={0}>
      <Tooltip label={`${exact(at)} ${timeZone()}`}>
        <Text component="time" dateTime={at} size="sm" tabIndex={0} style={{ whiteSpace: "nowrap" }}>
          {dayjs(at).tz(timeZone()).format("YYYY-MM-DD HH:mm")}
        </Text>
      </Tooltip>
      <Text size="xs" c="dimmed">
        {relative(at)}
      </Text>
    </Stack>
  );
}

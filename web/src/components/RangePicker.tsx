import { Button, Group, Popover, SegmentedControl, Stack, Text } from "@mantine/core";
import { DateTimePicker } from "@mantine/dates";
import { IconCalendar } from "@tabler/icons-react";
import { useState } from "react";
import { dayjs, exact, rangeLabels, ranges, timeZone } from "@/lib/time";

/** Chooses the time that a whole page is about: a relative range or two instants. */
export function RangePicker({ value, onChange }: { value: string; onChange: (range: string) => void }) {
  const custom = value.includes("..");
  const [open, setOpen] = useState(false);
  const [from, setFrom] = useState<string | null>(null);
  const [to, setTo] = useState<string | null>(null);
  const zoned = (t: string) => dayjs.tz(t, timeZone()).toISOString();
  return (
    <Group gap="xs">
      <SegmentedControl
        size="xs"
        aria-label="Time range"
        value={custom ? "" : value}
        onChange={onChange}
        data={Object.keys(ranges).map((name) => ({
          value: name,
          label: rangeLabels[name as keyof typeof rangeLabels],
        }))}
      />
      <Popover opened={open} onChange={setOpen} trapFocus withArrow position="bottom-end">
        <Popover.Target>
          <Button
            size="xs"
            px={{ base: 8, xs: 14 }}
            variant={custom ? "light" : "default"}
            onClick={() => setOpen((o) => !o)}
            aria-label={custom ? undefined : "Custom"}
          >
            <IconCalendar size={14} aria-hidden />
            {custom ? (
              <Text span inherit ml={8}>
                {value
                  .split("..")
                  .map((t) => exact(t).slice(0, 16))
                  .join(" – ")}
              </Text>
            ) : (
              <Text span inherit ml={8} visibleFrom="xs">
                Custom
              </Text>
            )}
          </Button>
        </Popover.Target>
        <Popover.Dropdown>
          <Stack gap="xs" miw={240}>
            <DateTimePicker
              label="From"
              value={from}
              onChange={setFrom}
              popoverProps={{ withinPortal: false }}
            />
            <DateTimePicker label="To" value={to} onChange={setTo} popoverProps={{ withinPortal: false }} />
            <Text size="xs" c="dimmed">
              Times in {timeZone()}
            </Text>
            <Button
              size="xs"
              disabled={!from || !to || from >= to}
              onClick={() => {
                onChange(`${zoned(from as string)}..${zoned(to as string)}`);
                setOpen(false);
              }}
            >
              Show
            </Button>
          </Stack>
        </Popover.Dropdown>
      </Popover>
    </Group>
  );
}

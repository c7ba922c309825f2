import { Group, NumberInput, Text } from "@mantine/core";
import { plural } from "@/lib/words";
import { FixedLabel, Section } from "./Section";
import { type Settings, useSection } from "./useSettings";

const GiB = 1 << 30;

/** How long and how much is kept. */
export function RetentionSection({
  current,
  readOnly,
}: {
  current: { settings: Settings; etag: string };
  readOnly: boolean;
}) {
  const form = useSection(
    current,
    (s) => ({
      days: s.retention.events_days as number | "",
      gib: round(s.retention.max_size / GiB) as number | "",
    }),
    (v) => ({
      retention: {
        ...(v.days !== "" ? { events_days: v.days } : {}),
        // Only if it was changed: the number shown is rounded.
        ...(v.gib !== "" && v.gib !== round(current.settings.retention.max_size / GiB)
          ? { max_size: Math.round(v.gib * GiB) }
          : {}),
      },
    }),
  );
  const before = current.settings.retention.events_days;
  const days = form.value.days;
  return (
    <Section
      title="Retention"
      about="Events older than this, and the oldest ones beyond the size, are deleted. Blocks in force, the audit trail and the revisions of the policy stay."
      form={form}
    >
      <Group gap="md" align="flex-start">
        <NumberInput
          label={<FixedLabel label="Events are kept for" fixed={form.fixed("retention.events_days")} />}
          suffix=" days"
          value={days}
          onChange={(n) => form.set({ days: typeof n === "number" ? n : "" })}
          error={form.fault("retention.events_days")}
          disabled={readOnly || form.fixed("retention.events_days")}
          min={1}
          max={36500}
          allowDecimal={false}
          thousandSeparator=","
          w={220}
        />
        <NumberInput
          label={<FixedLabel label="Database, at most" fixed={form.fixed("retention.max_size")} />}
          suffix=" GiB"
          value={form.value.gib}
          onChange={(n) => form.set({ gib: typeof n === "number" ? n : "" })}
          error={form.fault("retention.max_size")}
          disabled={readOnly || form.fixed("retention.max_size")}
          min={0.1}
          decimalScale={2}
          thousandSeparator=","
          w={220}
        />
      </Group>
      {days !== "" && days < before && (
        <Text size="sm" c="var(--severity-high-text)" role="alert">
          Saving this deletes events that are older than {plural(days, "day")}. They do not come back.
        </Text>
      )}
    </Section>
  );
}

const round = (n: number) => Math.round(n * 100) / 100;

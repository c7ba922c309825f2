import { Group, Stack, Text } from "@mantine/core";
import { IconBan, IconCircleCheck, IconClockOff, IconEye, IconLockOpen } from "@tabler/icons-react";
import type { Block } from "@/lib/blocks";
import { remaining, verdicts } from "@/lib/report";
import { person } from "@/lib/words";

const looks = {
  active: { icon: IconBan, color: "var(--severity-critical-text)", label: "Active" },
  expired: { icon: IconClockOff, color: "var(--mantine-color-dimmed)", label: "Expired" },
  lifted: { icon: IconLockOpen, color: "var(--state-good)", label: "Lifted" },
  observed: { icon: IconEye, color: "var(--severity-info-text)", label: "Observed" },
} as const;

/** The state of a block: icon and word; who lifted it and why below. */
export function BlockState({ block, detail = true }: { block: Block; detail?: boolean }) {
  const look = looks[block.state as keyof typeof looks] ?? looks.expired;
  const below =
    block.state === "lifted"
      ? `as ${verdicts[block.verdict ?? ""] ?? block.verdict} by ${person(block.lifted_by)}`
      : block.state === "active"
        ? remaining(block)
        : block.state === "observed"
          ? "would have been blocked"
          : "";
  return (
    <Stack gap={0}>
      <Group gap={5} wrap="nowrap">
        <look.icon size={15} color={look.color} aria-hidden />
        <Text size="sm" fw={550} c={look.color}>
          {look.label}
        </Text>
      </Group>
      {detail && below && (
        <Text size="xs" c="dimmed" className="breakable">
          {below}
        </Text>
      )}
    </Stack>
  );
}

/** Whether somebody looked at an automatic block. */
export function Reviewed({ block }: { block: Block }) {
  if (!block.reviewed_by) return null;
  return (
    <Group gap={4} wrap="nowrap">
      <IconCircleCheck size={14} color="var(--state-good)" aria-hidden />
      <Text size="xs" c="dimmed" className="breakable">
        reviewed by {person(block.reviewed_by)}
      </Text>
    </Group>
  );
}

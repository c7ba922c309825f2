import { Group, Text } from "@mantine/core";
import { type Severity, severityColor, severityLook, severityTextColor } from "@/lib/severity";

const shapes: Record<string, string> = {
  circle: "M6 1.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9z",
  triangle: "M6 1 11.200 10.500H.8z",
  diamond: "M6 .5 11.500 6 6 11.500.5 6z",
  square: "M1.500 1.500h9v9h-9z",
};

/** The mark of a severity: a shape of its own beside the colour. */
export function SeverityMark({ severity, size = 11 }: { severity: Severity; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 12 12" aria-hidden="true" focusable="false">
      <path d={shapes[severityLook[severity].mark]} fill={severityColor(severity)} />
    </svg>
  );
}

/** A severity in a row: mark and word. */
export function SeverityBadge({ severity }: { severity: string }) {
  const look = severityLook[severity as Severity];
  if (!look) return <Text size="sm">{severity}</Text>;
  return (
    <Group gap={6} wrap="nowrap">
      <SeverityMark severity={severity as Severity} />
      <Text size="sm" fw={550} c={severityTextColor(severity)}>
        {look.label}
      </Text>
    </Group>
  );
}

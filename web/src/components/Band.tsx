import { Box, Group, Stack, Text, ThemeIcon } from "@mantine/core";
import { IconBan, IconCircleCheck, IconInfoCircle, IconKey, IconShieldCheck } from "@tabler/icons-react";
import type { ReactNode } from "react";

const looks = {
  stop: { icon: IconBan, color: "red" },
  step: { icon: IconKey, color: "orange" },
  hint: { icon: IconInfoCircle, color: "blue" },
  fine: { icon: IconCircleCheck, color: "teal" },
  trust: { icon: IconShieldCheck, color: "teal" },
} as const;

/** One finding: a sentence, what is behind it, what to do, and the button that does it. */
export function Band(props: {
  tone: keyof typeof looks;
  says: ReactNode;
  why?: ReactNode;
  todo?: ReactNode;
  below?: ReactNode;
  action?: ReactNode;
}) {
  const look = looks[props.tone];
  return (
    <Box className="surface" px="md" py="sm" style={{ borderRadius: "var(--mantine-radius-md)" }}>
      <Group wrap="nowrap" align="flex-start" gap="sm">
        <ThemeIcon variant="light" color={look.color} radius="xl" size={30} mt={1} aria-hidden>
          <look.icon size={17} />
        </ThemeIcon>
        <Group justify="space-between" align="flex-start" gap="sm" style={{ flex: 1, minWidth: 0 }}>
          <Stack gap={2} style={{ flex: "1 1 300px", minWidth: 0 }}>
            <Text fw={600} size="sm" className="breakable">
              {props.says}
            </Text>
            {props.why && (
              <Text component="div" size="sm" c="dimmed" className="breakable">
                {props.why}
              </Text>
            )}
            {props.todo && (
              <Text component="div" size="sm" className="breakable">
                {props.todo}
              </Text>
            )}
            {props.below}
          </Stack>
          {props.action && (
            <Group gap="xs" className="no-print">
              {props.action}
            </Group>
          )}
        </Group>
      </Group>
    </Box>
  );
}

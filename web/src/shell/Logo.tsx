import { Group, Text } from "@mantine/core";

export function Logo() {
  return (
    <Group gap={8} wrap="nowrap">
      <svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
        <path
          d="M16 2 5 6v9c0 7 4.600 12.600 11 15 6.400-2.400 11-8 11-15V6z"
          fill="var(--mantine-color-warder-7)"
        />
        <path
          d="m10 11 2.600 9h1.200L16 13.500l2.200 6.500h1.200l2.600-9"
          fill="none"
          stroke="#fff"
          strokeWidth="2.200"
          strokeLinejoin="round"
          strokeLinecap="round"
        />
      </svg>
      <Text fw={700} fz="lg" lts={-0.3}>
        Warder
      </Text>
    </Group>
  );
}

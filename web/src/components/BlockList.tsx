import { Anchor, Box, Group, Stack, Text } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { Block } from "@/lib/blocks";
import { crossing, subjectOf } from "@/lib/report";
import { BlockState } from "./BlockState";
import { UnblockButton } from "./UnblockDialog";
import { When } from "./When";

/** The blocks of one address or account, latest first. */
export function BlockList({ blocks, none }: { blocks: Block[]; none: string }) {
  if (blocks.length === 0)
    return (
      <Text size="sm" c="dimmed">
        {none}
      </Text>
    );
  return (
    <Stack gap="sm">
      {blocks.slice(0, 10).map((b) => (
        <Box key={b.id}>
          <Group justify="space-between" align="flex-start" wrap="nowrap" gap="sm">
            <BlockState block={b} />
            <UnblockButton block={b} />
          </Group>
          <Text size="sm" className="breakable" mt={2}>
            {subjectOf(b)}
            {b.source === "rule"
              ? `: rule ${b.rule}${crossing(b) ? `, ${crossing(b)}` : ""}`
              : b.reason
                ? `: ${b.reason}`
                : ""}
          </Text>
          <Group gap={8}>
            <When at={b.blocked_at} dim />
            <Anchor component={Link} to="/blocks" search={{ state: "all", block: b.id } as never} size="xs">
              {b.reference}
            </Anchor>
          </Group>
        </Box>
      ))}
      {blocks.length > 10 && (
        <Text size="xs" c="dimmed">
          and {blocks.length - 10} more
        </Text>
      )}
    </Stack>
  );
}

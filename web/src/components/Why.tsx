import { Box, Group, List, Progress, Stack, Text } from "@mantine/core";
import type { Schemas } from "@/api/client";
import { duration } from "@/lib/time";

type WhyView = Pick<Schemas["WhyView"], "steps" | "counters" | "decision" | "providers" | "history">;

const keys: Record<string, string> = {
  ip: "by address",
  account: "by account",
  "ip+account": "by address and account",
  session: "by session",
  realm: "by realm",
};

/** How full the counters are that the next failure would hit. */
export function Counters({ counters }: { counters: WhyView["counters"] }) {
  const list = counters ?? [];
  if (list.length === 0) return null;
  return (
    <Stack gap="sm">
      {list.map((c) => {
        const share = Math.min(100, (100 * c.count) / Math.max(1, c.threshold));
        const near = c.count >= c.threshold - 1;
        return (
          <Box key={`${c.rule} ${c.key}`}>
            <Group justify="space-between" gap="xs" wrap="nowrap" mb={4}>
              <Text size="sm" className="breakable">
                {c.rule}{" "}
                <Text span size="xs" c="dimmed">
                  {keys[c.key] ?? c.key}, in {duration(c.window)}
                  {c.mode === "observe" ? ", observed only" : ""}
                </Text>
              </Text>
              <Text size="sm" className="numeric" fw={550} style={{ whiteSpace: "nowrap" }}>
                {c.count} of {c.threshold}
              </Text>
            </Group>
            <Progress
              value={share}
              size="sm"
              color={near ? "orange" : "warder"}
              aria-label={`${c.rule}: ${c.count} of ${c.threshold}`}
            />
          </Box>
        );
      })}
    </Stack>
  );
}

/** "Why was this decided?": every step in words, in the order of deciding. */
export function Why({ why }: { why: WhyView }) {
  return (
    <List type="ordered" size="sm" spacing={4} withPadding>
      {(why.steps ?? []).map((s) => (
        <List.Item key={s} className="breakable">
          {s}
        </List.Item>
      ))}
    </List>
  );
}

import { Anchor, Group, Popover, Stack, Text, UnstyledButton } from "@mantine/core";
import { IconCircleFilled } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { usePosture } from "@/lib/posture";
import { PostureReasons, postureLooks } from "@/pages/overview/Protection";
import { type LiveState, useLiveState } from "./live";
import "./search.css";

const lives: Record<LiveState, string> = {
  connecting: "Connecting to the live stream",
  live: "Live: new events appear by themselves",
  away: "The live stream is interrupted; it comes back by itself",
};

/** The state of protection in the header of every page, with what is wrong. */
export function PostureBadge() {
  const posture = usePosture();
  const live = useLiveState();
  const look = postureLooks[posture.state];
  return (
    <Popover position="bottom-end" withArrow width={380} shadow="md">
      <Popover.Target>
        <UnstyledButton className="posture" aria-label={`State of protection: ${posture.title}`}>
          <Group gap={6} wrap="nowrap" c={look.tone}>
            <look.icon size={18} aria-hidden />
            <Text span size="sm" fw={600} visibleFrom="sm" c="inherit">
              {posture.title}
            </Text>
          </Group>
        </UnstyledButton>
      </Popover.Target>
      <Popover.Dropdown maw="calc(100vw - 24px)">
        <Stack gap="sm">
          <div>
            <Text fw={650}>{posture.title}</Text>
            <Text size="sm" c="dimmed">
              {posture.about}
            </Text>
          </div>
          {posture.reasons.length > 0 && <PostureReasons reasons={posture.reasons} />}
          <Group gap={6} wrap="nowrap">
            <IconCircleFilled
              size={9}
              aria-hidden
              color={live === "live" ? "var(--state-good)" : "var(--severity-warning)"}
            />
            <Text size="xs" c="dimmed">
              {lives[live]}
            </Text>
          </Group>
          <Anchor component={Link} to="/policy" size="sm">
            To the policy
          </Anchor>
        </Stack>
      </Popover.Dropdown>
    </Popover>
  );
}

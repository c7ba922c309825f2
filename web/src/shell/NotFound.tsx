import { Anchor } from "@mantine/core";
import { IconMapOff } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { Empty } from "@/components/Feedback";

export function NotFound() {
  return (
    <Empty icon={<IconMapOff />} title="There is no such page">
      <Anchor component={Link} to="/">
        To the security events
      </Anchor>
    </Empty>
  );
}

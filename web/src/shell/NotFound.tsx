import { Anchor, Text } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { Door } from "@/pages/door/Door";

export function NotFound() {
  return (
    <Door title="There is no such page">
      <Text size="sm">The address was mistyped, or the page has another one now.</Text>
      <Anchor component={Link} to="/" size="sm">
        To the security events
      </Anchor>
    </Door>
  );
}

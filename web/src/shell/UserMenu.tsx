import {
  Avatar,
  Badge,
  Group,
  Kbd,
  Menu,
  Stack,
  Text,
  UnstyledButton,
  useComputedColorScheme,
  useMantineColorScheme,
} from "@mantine/core";
import { IconKeyboard, IconLogout, IconMoon, IconSun, IconUserCircle } from "@tabler/icons-react";
import { useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { api, data } from "@/api/client";
import { notifyProblem } from "@/components/Feedback";
import { useMe } from "@/lib/me";
import { openShortcuts } from "./Shortcuts";

/** Who is signed in, with what role, and the way out. */
export function UserMenu() {
  const { me } = useMe();
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme("light");
  const queries = useQueryClient();
  const navigate = useNavigate();
  const other = scheme === "dark" ? "light" : "dark";
  const signOut = async () => {
    try {
      await data(api.DELETE("/v1/session"));
    } catch (e) {
      notifyProblem(e);
      return;
    }
    // Nothing of what was seen stays behind for who comes next.
    queries.clear();
    await navigate({ to: "/sign-in", replace: true });
  };
  const name = me?.name || me?.email || "";
  return (
    <Menu position="bottom-end" width={240} withinPortal>
      <Menu.Target>
        <UnstyledButton>
          <Avatar size={32} radius="xl" color="warder" name={name || undefined} />
          <span className="visually-hidden">{me ? `Signed in as ${name}, ${me.role}` : "Account"}</span>
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        {me && (
          <>
            <Stack gap={2} px="sm" py="xs">
              <Group gap="xs" wrap="nowrap" justify="space-between">
                <Text size="sm" fw={600} truncate>
                  {name}
                </Text>
                <Badge size="sm" variant="light" radius="sm" tt="none">
                  {me.role}
                </Badge>
              </Group>
              {me.email && me.email !== name && (
                <Text size="xs" c="dimmed" truncate>
                  {me.email}
                </Text>
              )}
            </Stack>
            <Menu.Divider />
          </>
        )}
        {me?.id && (
          <Menu.Item component={Link} to="/me" leftSection={<IconUserCircle size={16} />}>
            Profile and security
          </Menu.Item>
        )}
        <Menu.Item
          leftSection={other === "dark" ? <IconMoon size={16} /> : <IconSun size={16} />}
          onClick={() => setColorScheme(other)}
        >
          Switch to {other}
        </Menu.Item>
        <Menu.Item
          leftSection={<IconKeyboard size={16} />}
          rightSection={<Kbd size="xs">?</Kbd>}
          onClick={openShortcuts}
          visibleFrom="sm"
        >
          Keyboard shortcuts
        </Menu.Item>
        {me?.id && (
          <>
            <Menu.Divider />
            <Menu.Item leftSection={<IconLogout size={16} />} onClick={() => void signOut()}>
              Sign out
            </Menu.Item>
          </>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}

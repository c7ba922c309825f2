import {
  ActionIcon,
  AppShell,
  Burger,
  Group,
  NavLink,
  ScrollArea,
  Text,
  Tooltip,
  UnstyledButton,
  useComputedColorScheme,
  useMantineColorScheme,
} from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconMoon, IconSun } from "@tabler/icons-react";
import { Link, Outlet, useRouterState } from "@tanstack/react-router";
import { useEffect } from "react";
import { Logo } from "./Logo";
import { navigation } from "./navigation";

/** The frame of every page: menu, search, state of protection, who is signed in. */
export function Shell() {
  const [menu, { toggle, close }] = useDisclosure(false);
  const path = useRouterState({ select: (s) => s.location.pathname });
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new page closes the menu
  useEffect(close, [path]);
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 220, breakpoint: "md", collapsed: { mobile: !menu } }}
      padding={{ base: "sm", sm: "lg" }}
    >
      <a href="#main" className="visually-hidden">
        Skip to the page
      </a>
      <AppShell.Header bg="var(--surface)">
        <Group h="100%" px="md" gap="sm" wrap="nowrap">
          <Burger
            opened={menu}
            onClick={toggle}
            hiddenFrom="md"
            size="sm"
            aria-label="Menu"
            aria-expanded={menu}
          />
          <UnstyledButton component={Link} to="/" aria-label="Warder, to the security events">
            <Logo />
          </UnstyledButton>
          <Group ml="auto" gap="xs" wrap="nowrap">
            <SchemeSwitch />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar bg="var(--surface)" aria-label="Pages">
        <ScrollArea p="xs" type="auto">
          {navigation.map((group) => (
            <div key={group.title}>
              <Text size="xs" fw={600} c="dimmed" px="sm" pt="sm" pb={4}>
                {group.title}
              </Text>
              {group.entries.map((entry) => {
                const active =
                  entry.to === "/" ? path === "/" : path === entry.to || path.startsWith(`${entry.to}/`);
                return (
                  <NavLink
                    key={entry.to}
                    component={Link}
                    to={entry.to}
                    label={entry.label}
                    leftSection={<entry.icon size={17} stroke={1.7} />}
                    active={active}
                    aria-current={active ? "page" : undefined}
                    style={{ borderRadius: "var(--mantine-radius-md)" }}
                    py={7}
                  />
                );
              })}
            </div>
          ))}
        </ScrollArea>
      </AppShell.Navbar>
      <AppShell.Main id="main" tabIndex={-1}>
        <Outlet />
      </AppShell.Main>
    </AppShell>
  );
}

function SchemeSwitch() {
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme("light");
  const next = scheme === "dark" ? "light" : "dark";
  return (
    <Tooltip label={`Switch to ${next}`}>
      <ActionIcon
        variant="default"
        size="lg"
        aria-label={`Switch to ${next}`}
        onClick={() => setColorScheme(next)}
      >
        {scheme === "dark" ? <IconSun size={17} /> : <IconMoon size={17} />}
      </ActionIcon>
    </Tooltip>
  );
}

import { AppShell, Burger, Group, NavLink, ScrollArea, Text, UnstyledButton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { Link, Outlet, useRouterState } from "@tanstack/react-router";
import { useEffect } from "react";
import { Loading, ProblemAlert } from "@/components/Feedback";
import { useMe } from "@/lib/me";
import { Logo } from "./Logo";
import { useLiveConnection } from "./live";
import { navigation } from "./navigation";
import { PostureBadge } from "./PostureBadge";
import { Search, SearchButton } from "./Search";
import { useShortcuts } from "./Shortcuts";
import { UserMenu } from "./UserMenu";

/** The frame of every page: menu, search, state of protection, who is signed in. */
export function Shell() {
  const [menu, { toggle, close }] = useDisclosure(false);
  const path = useRouterState({ select: (s) => s.location.pathname });
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new page closes the menu
  useEffect(close, [path]);
  useLiveConnection();
  useShortcuts();
  // Pages show days in the time zone of who is signed in, and what that person may do.
  const { me, error } = useMe();
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 220, breakpoint: "md", collapsed: { mobile: !menu } }}
      padding={{ base: "sm", sm: "lg" }}
    >
      <a href="#main" className="skip">
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
            <SearchButton />
            <PostureBadge />
            <UserMenu />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar bg="var(--surface)" aria-label="Pages">
        <ScrollArea p="xs" type="auto">
          {navigation.map((group) => (
            <div key={group.title}>
              <Text size="xs" fw={600} c="dimmed" px="sm" pt="xs" pb={2}>
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
                    py={5}
                  />
                );
              })}
            </div>
          ))}
        </ScrollArea>
      </AppShell.Navbar>
      <Search />
      <AppShell.Main id="main" tabIndex={-1}>
        {me ? <Outlet /> : error ? <ProblemAlert error={error} /> : <Loading />}
      </AppShell.Main>
    </AppShell>
  );
}

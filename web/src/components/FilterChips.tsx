import { ActionIcon, Badge, Button, Group, Menu } from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { IconFilter, IconFilterOff, IconX } from "@tabler/icons-react";
import type { Filters } from "@/lib/filters";
import { LazyMenu } from "./LazyMenu";

const words: Record<string, string> = { name: "type", ip: "address", q: "search" };

/** The filters in force, each removable; Esc clears all. */
export function FilterChips(props: {
  filters: Filters;
  remove: (key: string, value: string) => void;
  clear: () => void;
}) {
  const chips = Object.entries(props.filters).flatMap(([key, values]) =>
    values.map((v) => [key, v] as const),
  );
  useHotkeys([["Escape", () => chips.length > 0 && props.clear()]]);
  if (chips.length === 0) return null;
  return (
    <Group gap={6} aria-label="Filters" role="group">
      {chips.map(([key, value]) => {
        const not = key.startsWith("not_");
        const field = not ? key.slice(4) : key;
        return (
          <Badge
            key={`${key} ${value}`}
            size="lg"
            radius="sm"
            variant="light"
            color={not ? "red" : "warder"}
            tt="none"
            fw={500}
            rightSection={
              <ActionIcon
                size={16}
                variant="transparent"
                c="inherit"
                aria-label={`Remove filter ${field} ${value}`}
                onClick={() => props.remove(key, value)}
              >
                <IconX size={12} />
              </ActionIcon>
            }
          >
            {words[field] ?? field} {not ? "is not" : "is"} {value}
          </Badge>
        );
      })}
      <Button size="compact-xs" variant="subtle" onClick={props.clear}>
        Clear all
      </Button>
    </Group>
  );
}

/** Offers to filter by a value, or to leave it out. Stands beside the value. */
export function FilterMenu(props: { value: string; include: () => void; exclude: () => void }) {
  return (
    <LazyMenu
      label={`Filter by ${props.value}`}
      icon={<IconFilter size={12} />}
      look={{ className: "quiet", size: "xs" }}
      position="bottom-start"
    >
      <Menu.Item leftSection={<IconFilter size={14} />} onClick={props.include}>
        Only this
      </Menu.Item>
      <Menu.Item leftSection={<IconFilterOff size={14} />} onClick={props.exclude}>
        Leave out
      </Menu.Item>
    </LazyMenu>
  );
}

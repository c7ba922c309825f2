import { Badge, Box, Group, Stack, Text, Tooltip, useMatches } from "@mantine/core";
import { useDeferredValue } from "react";
import type { Schemas } from "@/api/client";
import { BlockButton } from "@/components/BlockDialog";
import { type Column, DataTable } from "@/components/DataTable";
import { EventName } from "@/components/EventParts";
import { Empty } from "@/components/Feedback";
import { FilterLink } from "@/components/FilterLink";
import { AddressLink } from "@/components/Links";
import { Panel } from "@/components/Page";
import { When } from "@/components/When";
import type { Search } from "@/lib/search";

type Attacker = Schemas["AttackerView"];

/** The addresses with the most suspicious events: one click blocks for good. */
export function Attackers(props: { rows?: Attacker[]; error: unknown; retry: () => void; search: Search }) {
  const narrow = useMatches({ base: true, sm: false });
  // Below what everybody looks at first, and drawn after it.
  const rows = useDeferredValue(props.rows, null) ?? undefined;
  const most = Math.max(1, ...(rows ?? []).map((r) => r.count));
  const columns: Column<Attacker>[] = [
    {
      key: "ip",
      title: "Address",
      cell: (a) => {
        const types = Object.entries(a.types).sort((x, y) => y[1] - x[1]);
        return (
          <Stack gap={1} align="flex-start" miw={0}>
            <AddressLink ip={a.ip.replace(/\/64$/, "")} />
            <Tooltip
              label={types.map(([name, n]) => (
                <Text key={name} size="xs">
                  {name}: {n.toLocaleString("en")}
                </Text>
              ))}
            >
              <Text component="div" size="xs" c="dimmed" tabIndex={0} maw="100%">
                <EventName name={types[0]?.[0]} dim />
                {types.length > 1 && ` +${types.length - 1}`}
              </Text>
            </Tooltip>
          </Stack>
        );
      },
    },
    {
      key: "count",
      title: "Events",
      width: narrow ? 76 : 132,
      cell: (a) => (
        <Stack gap={4}>
          <FilterLink
            to="/events"
            search={{
              ...props.search,
              ip: a.ip,
              severity: ["warning", "high", "critical"],
              not_severity: undefined,
            }}
            size="sm"
            fw={600}
            className="numeric"
            ta="left"
            label={`${a.count} suspicious events of ${a.ip}`}
          >
            {a.count.toLocaleString("en")}
          </FilterLink>
          <Box
            h={4}
            w={`${Math.max(4, (a.count / most) * 100)}%`}
            bg="var(--severity-high)"
            opacity={0.8}
            style={{ borderRadius: 2 }}
          />
        </Stack>
      ),
    },
    { key: "last", title: "Last seen", width: 116, wide: true, cell: (a) => <When at={a.last_seen} /> },
    {
      key: "act",
      title: <span className="visually-hidden">Actions</span>,
      width: 108,
      cell: (a) => (
        <Group justify="flex-end">
          {a.block_id ? (
            <FilterLink
              to="/blocks"
              search={{ block: a.block_id }}
              underline="never"
              label={`${a.ip} is blocked, show the block`}
            >
              <Badge variant="light" color="gray" radius="sm" tt="none" fw={550}>
                Blocked
              </Badge>
            </FilterLink>
          ) : (
            <BlockButton ip={a.ip} now reason={`Top attacking address: ${a.count} suspicious events`} />
          )}
        </Group>
      ),
    },
  ];
  return (
    <Panel
      title="Top attacking addresses"
      pad={false}
      aside={
        <FilterLink to="/addresses" size="sm">
          All addresses
        </FilterLink>
      }
    >
      <DataTable
        label="Top attacking addresses"
        columns={columns}
        rows={rows}
        id={(a) => a.ip}
        error={props.error}
        retry={props.retry}
        minWidth={300}
        fixed
        empty={
          <Empty title="Nobody attacked in this time">
            Addresses with warnings and worse are listed here.
          </Empty>
        }
      />
    </Panel>
  );
}

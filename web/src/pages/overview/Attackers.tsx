import { Badge, Box, Group, Stack, Text, Tooltip } from "@mantine/core";
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
  const most = Math.max(1, ...(props.rows ?? []).map((r) => r.count));
  const columns: Column<Attacker>[] = [
    {
      key: "ip",
      title: "Address",
      width: 172,
      cell: (a) => (
        <Stack gap={2}>
          <AddressLink ip={a.ip.replace(/\/64$/, "")} />
          <Box
            h={3}
            w={`${Math.max(3, (a.count / most) * 100)}%`}
            maw={150}
            bg="var(--severity-high)"
            opacity={0.75}
            style={{ borderRadius: 2 }}
          />
        </Stack>
      ),
    },
    {
      key: "count",
      title: "Events",
      numeric: true,
      width: 76,
      cell: (a) => (
        <FilterLink
          to="/events"
          search={{
            ...props.search,
            ip: a.ip,
            severity: ["warning", "high", "critical"],
            not_severity: undefined,
          }}
          size="sm"
          label={`${a.count} suspicious events of ${a.ip}`}
        >
          {a.count.toLocaleString("en")}
        </FilterLink>
      ),
    },
    {
      key: "types",
      title: "Types",
      cell: (a) => {
        const types = Object.entries(a.types).sort((x, y) => y[1] - x[1]);
        return (
          <Tooltip
            label={
              <Stack gap={0}>
                {types.map(([name, n]) => (
                  <Text key={name} size="xs">
                    {name}: {n.toLocaleString("en")}
                  </Text>
                ))}
              </Stack>
            }
          >
            <Text size="xs" tabIndex={0} component="div" lineClamp={1}>
              <EventName name={types[0]?.[0] ?? "–"} />
              {types.length > 1 && (
                <Text span size="xs" c="dimmed">
                  {" "}
                  +{types.length - 1}
                </Text>
              )}
            </Text>
          </Tooltip>
        );
      },
    },
    { key: "last", title: "Last seen", width: 104, wide: true, cell: (a) => <When at={a.last_seen} /> },
    {
      key: "act",
      title: <span className="visually-hidden">Actions</span>,
      width: 112,
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
        <FilterLink to="/addresses" search={{ suspicious: "true" }} size="sm">
          All addresses
        </FilterLink>
      }
    >
      <DataTable
        label="Top attacking addresses"
        columns={columns}
        rows={props.rows}
        id={(a) => a.ip}
        error={props.error}
        retry={props.retry}
        minWidth={500}
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

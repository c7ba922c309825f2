import { Group, Stack, Text, useMatches } from "@mantine/core";
import { IconBan } from "@tabler/icons-react";
import { type Column, DataTable } from "@/components/DataTable";
import { Empty } from "@/components/Feedback";
import { FilterLink } from "@/components/FilterLink";
import { AccountLink, AddressLink } from "@/components/Links";
import { Panel } from "@/components/Page";
import { UnblockButton } from "@/components/UnblockDialog";
import { When } from "@/components/When";
import type { Block } from "@/lib/blocks";
import { relative } from "@/lib/time";

const columns = (narrow: boolean): Column<Block>[] => [
  {
    key: "subject",
    title: "Who",
    width: narrow ? 116 : 176,
    cell: (b) => (
      <Stack gap={0}>
        {b.ip && <AddressLink ip={b.ip.replace(/\/64$/, "")} />}
        {b.account && <AccountLink account={b.account} realm={b.realm} />}
      </Stack>
    ),
  },
  {
    key: "why",
    title: "Why and since when",
    cell: (b) => (
      <Stack gap={1} miw={0}>
        <Text size="sm" className="one-line" title={b.reason}>
          {b.reason || b.rule || "–"}
        </Text>
        <Group gap={6} wrap="nowrap" c="dimmed" fz="xs">
          <When at={b.blocked_at} dim />
          <Text size="xs" className="one-line">
            · {b.until ? `ends ${relative(b.until)}` : "until lifted"} · {b.hits.toLocaleString("en")} refused
          </Text>
        </Group>
      </Stack>
    ),
  },
  {
    key: "act",
    title: <span className="visually-hidden">Actions</span>,
    width: 124,
    cell: (b) => (
      <Group justify="flex-end">
        <UnblockButton block={b} />
      </Group>
    ),
  },
];

/** The blocks in force, newest first: when, why, and the way out. */
export function Blocked(props: { rows?: Block[]; error: unknown; retry: () => void }) {
  const narrow = useMatches({ base: true, sm: false });
  return (
    <Panel
      title="Blocked addresses"
      pad={false}
      aside={
        <FilterLink to="/blocks" search={{ state: "active" }} size="sm">
          All blocks
        </FilterLink>
      }
    >
      <DataTable
        label="Blocked addresses"
        columns={columns(narrow)}
        rows={props.rows}
        id={(b) => b.id}
        error={props.error}
        retry={props.retry}
        minWidth={340}
        fixed
        empty={
          <Empty icon={<IconBan size={20} />} title="Nobody is blocked">
            Addresses that cross a threshold, and those blocked by hand, are listed here.
          </Empty>
        }
      />
    </Panel>
  );
}

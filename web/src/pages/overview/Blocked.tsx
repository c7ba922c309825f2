import { Group, Stack, Text, useMatches } from "@mantine/core";
import { IconBan } from "@tabler/icons-react";
import { useDeferredValue } from "react";
import { type Column, DataTable } from "@/components/DataTable";
import { Empty } from "@/components/Feedback";
import { FilterLink } from "@/components/FilterLink";
import { AccountLink, AddressLink } from "@/components/Links";
import { Panel } from "@/components/Page";
import { UnblockButton } from "@/components/UnblockDialog";
import { When } from "@/components/When";
import type { Block } from "@/lib/blocks";
import { reasonOf } from "@/lib/report";
import { relative } from "@/lib/time";

const Who = ({ block: b }: { block: Block }) => (
  <Stack gap={0}>
    {b.ip && <AddressLink ip={b.ip.replace(/\/64$/, "")} />}
    {b.account && <AccountLink account={b.account} realm={b.realm} />}
  </Stack>
);

const Why = ({ block: b }: { block: Block }) => (
  <Stack gap={1} miw={0}>
    <Text size="sm" lineClamp={2} className="breakable" title={b.reason}>
      {reasonOf(b) || "–"}
    </Text>
    <Text component="div" size="xs" c="dimmed">
      <When at={b.blocked_at} inline /> · {b.until ? `ends ${relative(b.until)}` : "until lifted"} ·{" "}
      {b.hits.toLocaleString("en")} refused
    </Text>
  </Stack>
);

const act: Column<Block> = {
  key: "act",
  title: <span className="visually-hidden">Actions</span>,
  width: 124,
  cell: (b) => (
    <Group justify="flex-end">
      <UnblockButton block={b} />
    </Group>
  ),
};

const wide: Column<Block>[] = [
  { key: "subject", title: "Who", width: 176, cell: (b) => <Who block={b} /> },
  { key: "why", title: "Why and since when", cell: (b) => <Why block={b} /> },
  act,
];

// On a phone who and why are one cell.
const narrow: Column<Block>[] = [
  {
    key: "block",
    title: "Who and why",
    cell: (b) => (
      <Stack gap={2}>
        <Who block={b} />
        <Why block={b} />
      </Stack>
    ),
  },
  { ...act, width: 108 },
];

/** The blocks in force, newest first: when, why, and the way out. */
export function Blocked(props: { rows?: Block[]; error: unknown; retry: () => void }) {
  const columns = useMatches({ base: narrow, sm: wide });
  const rows = useDeferredValue(props.rows, null) ?? undefined; // as for the attackers
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
        columns={columns}
        rows={rows}
        id={(b) => b.id}
        error={props.error}
        retry={props.retry}
        minWidth={300}
        fixed
        bare={columns === narrow}
        empty={
          <Empty icon={<IconBan size={20} />} title="Nobody is blocked">
            Addresses that cross a threshold, and those blocked by hand, are listed here.
          </Empty>
        }
      />
    </Panel>
  );
}

import { Badge, Group, SegmentedControl, Stack, Text } from "@mantine/core";
import { IconFlag, IconNetwork } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { api, data, type Schemas } from "@/api/client";
import { BlockState } from "@/components/BlockState";
import { type Column, DataTable } from "@/components/DataTable";
import { EventName } from "@/components/EventParts";
import { Empty } from "@/components/Feedback";
import { addressFault, FindInput } from "@/components/FindInput";
import { AccountLink, AddressLink } from "@/components/Links";
import { Page, Panel } from "@/components/Page";
import { RowActions } from "@/components/RowActions";
import { SeverityBadge } from "@/components/Severity";
import { When } from "@/components/When";
import { addressOf } from "@/lib/ip";
import { useParts } from "@/lib/list";
import { useSearchState } from "@/lib/search";

type Address = Schemas["AddressView"];

/** Addresses that did something suspicious, each with why. */
export default function Addresses() {
  const [search, change] = useSearchState();
  const navigate = useNavigate();
  const all = search.which === "all";
  const ip = typeof search.ip === "string" ? search.ip : "";
  const list = useParts<Address>(["ips", "list", all, ip], (cursor) =>
    data(
      api.GET("/v1/ips", {
        params: { query: { suspicious: !all, ip: ip || undefined, cursor, limit: 50 } },
      }),
    ),
  );
  // Suspicious ones come last seen first by the quarter of an hour only.
  const rows = all
    ? list.rows
    : list.rows?.toSorted((a, b) => Date.parse(b.last_seen) - Date.parse(a.last_seen));
  return (
    <Page
      title="Addresses"
      about={
        all
          ? "Every address that a failure or worse ever came from, in their own order."
          : "Addresses that did something suspicious: failures, crossed thresholds, refused requests. Last seen first."
      }
    >
      <Stack gap="sm">
        <Group gap="xs">
          <SegmentedControl
            size="xs"
            aria-label="Which addresses"
            value={all ? "all" : "suspicious"}
            onChange={(v) => change({ which: v === "all" ? "all" : undefined })}
            data={[
              { value: "suspicious", label: "Suspicious" },
              { value: "all", label: "All" },
            ]}
          />
          <FindInput
            label="Address or prefix"
            placeholder="Address or prefix, as 203.0.113.0/24"
            value={ip}
            set={(v) => change({ ip: v || undefined })}
            check={addressFault}
            w={{ base: "100%", xs: 260 }}
          />
        </Group>
        <Panel pad={false}>
          <DataTable
            label="addresses"
            columns={columns}
            rows={rows}
            id={(a) => a.ip}
            error={list.error}
            retry={list.retry}
            more={list.more}
            loadingMore={list.loadingMore}
            minWidth={900}
            onOpen={(a) => void navigate({ to: "/addresses/$ip", params: { ip: addressOf(a.ip) } as never })}
            empty={
              <Empty icon={<IconNetwork />} title={ip ? "No such address" : "No suspicious addresses"}>
                {ip
                  ? all
                    ? "Nothing was ever seen of it."
                    : "It did nothing suspicious. Look under All."
                  : "As soon as an address fails to sign in or is refused, it stands here with why."}
              </Empty>
            }
          />
        </Panel>
      </Stack>
    </Page>
  );
}

const columns: Column<Address>[] = [
  {
    key: "ip",
    title: "Address",
    width: 200,
    cell: (a) => (
      <Group gap={6}>
        <AddressLink ip={addressOf(a.ip)} label={a.ip} />
        {a.fraudulent && (
          <Badge size="xs" color="red" variant="light" tt="none" leftSection={<IconFlag size={10} />}>
            fraudulent
          </Badge>
        )}
      </Group>
    ),
  },
  {
    key: "worst",
    title: "Worst",
    width: 110,
    cell: (a) => <SeverityBadge severity={a.worst} />,
  },
  {
    key: "why",
    title: "Why",
    cell: (a) => (
      <Stack gap={0}>
        <Text size="sm">
          {[
            a.bad > 0 && `${a.bad.toLocaleString("en")} suspicious ${a.bad === 1 ? "event" : "events"}`,
            a.blocks_ever > 0 && `blocked ${a.blocks_ever === 1 ? "once" : `${a.blocks_ever} times`}`,
            a.fraudulent && "marked as fraudulent",
          ]
            .filter(Boolean)
            .join(", ") || (a.last_event === "IP_BLOCKED" ? "blocked by a person" : "nothing suspicious")}
        </Text>
        <EventName name={a.last_event} dim />
      </Stack>
    ),
  },
  {
    key: "account",
    title: "Last account",
    wide: true,
    cell: (a) => <AccountLink account={a.last_account} realm={a.last_realm} />,
  },
  {
    key: "now",
    title: "Now",
    width: 130,
    cell: (a) =>
      a.block ? (
        <BlockState block={a.block} />
      ) : (
        <Text size="sm" c="dimmed">
          not blocked
        </Text>
      ),
  },
  { key: "last", title: "Last seen", width: 140, cell: (a) => <When at={a.last_seen} /> },
  {
    key: "actions",
    title: <span className="visually-hidden">Actions</span>,
    width: 50,
    cell: (a) => <RowActions ip={a.ip} block={a.block?.ip === a.ip ? a.block : undefined} />,
  },
];

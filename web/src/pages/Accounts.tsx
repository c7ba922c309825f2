import { Group, SegmentedControl, Stack, Text } from "@mantine/core";
import { IconUsers } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { api, data, type Schemas } from "@/api/client";
import { type Column, DataTable } from "@/components/DataTable";
import { EventName } from "@/components/EventParts";
import { Empty } from "@/components/Feedback";
import { FindInput } from "@/components/FindInput";
import { AccountLink, AddressLink } from "@/components/Links";
import { Page, Panel } from "@/components/Page";
import { When } from "@/components/When";
import { addressOf } from "@/lib/ip";
import { useParts } from "@/lib/list";
import { useSearchState } from "@/lib/search";

type Account = Schemas["AccountView"];

const columns: Column<Account>[] = [
  {
    key: "account",
    title: "Account",
    cell: (a) => <AccountLink account={a.account} realm={a.realm} />,
  },
  {
    key: "bad",
    title: "Suspicious events",
    numeric: true,
    width: 150,
    cell: (a) => (
      <Text size="sm" c={a.bad > 0 ? "var(--severity-high-text)" : "dimmed"} fw={a.bad > 0 ? 550 : undefined}>
        {a.bad.toLocaleString("en")}
      </Text>
    ),
  },
  { key: "event", title: "Last event", cell: (a) => <EventName name={a.last_event} /> },
  {
    key: "ip",
    title: "Last address",
    cell: (a) => (a.last_ip ? <AddressLink ip={addressOf(a.last_ip)} label={a.last_ip} /> : "–"),
  },
  { key: "last", title: "Last seen", width: 150, cell: (a) => <When at={a.last_seen} /> },
];

/** Accounts, found by the beginning of their name: the way to "why can this person not sign in?". */
export default function Accounts() {
  const [search, change] = useSearchState();
  const navigate = useNavigate();
  const suspicious = search.which === "suspicious";
  const q = typeof search.q === "string" ? search.q : "";
  const realm = typeof search.realm === "string" ? search.realm : "";
  const list = useParts<Account>(["accounts", "list", suspicious, q, realm], (cursor) =>
    data(
      api.GET("/v1/accounts", {
        params: { query: { suspicious, q: q || undefined, realm: realm || undefined, cursor, limit: 50 } },
      }),
    ),
  );
  return (
    <Page title="Accounts" about="Find a person to see why they cannot sign in, and what to do about it.">
      <Stack gap="sm">
        <Group gap="xs">
          <FindInput
            label="Account"
            placeholder="Beginning of the account"
            w={{ base: "100%", xs: 260 }}
            value={q}
            set={(v) => change({ q: v })}
          />
          <FindInput
            label="Realm"
            placeholder="Realm"
            w={{ base: "100%", xs: 130 }}
            value={realm}
            set={(v) => change({ realm: v })}
          />
          <SegmentedControl
            size="xs"
            aria-label="Which accounts"
            value={suspicious ? "suspicious" : "all"}
            onChange={(v) => change({ which: v === "all" ? undefined : v })}
            data={[
              { value: "all", label: "All" },
              { value: "suspicious", label: "Attacked" },
            ]}
          />
        </Group>
        <Panel pad={false}>
          <DataTable
            label="accounts"
            columns={columns}
            rows={list.rows}
            id={(a) => `${a.realm ?? ""} ${a.account}`}
            error={list.error}
            retry={list.retry}
            more={list.more}
            loadingMore={list.loadingMore}
            minWidth={760}
            onOpen={(a) =>
              void navigate({
                to: "/accounts/$account",
                params: { account: a.account } as never,
                search: (a.realm ? { realm: a.realm } : {}) as never,
              })
            }
            empty={
              <Empty icon={<IconUsers />} title={q || realm ? "No account begins so" : "No accounts yet"}>
                {q || realm
                  ? "Check the spelling and the realm: Warder knows an account as the application wrote it."
                  : "They stand here as soon as applications report sign-ins."}
              </Empty>
            }
          />
        </Panel>
      </Stack>
    </Page>
  );
}

import { Badge, Button, Group, Menu, Select, Stack, Tabs, Text } from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { IconBan, IconDotsVertical, IconLockOpen, IconSearch, IconUpload } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, data, type Schemas } from "@/api/client";
import { openBlockDialog } from "@/components/BlockDialog";
import { BlockState, Reviewed } from "@/components/BlockState";
import { type Column, DataTable } from "@/components/DataTable";
import { EventName } from "@/components/EventParts";
import { ExportMenu } from "@/components/ExportMenu";
import { Empty, notifyProblem } from "@/components/Feedback";
import { FindInput } from "@/components/FindInput";
import { AccountLink, AddressLink } from "@/components/Links";
import { Moment } from "@/components/Moment";
import { Page, Panel } from "@/components/Page";
import { RangePicker } from "@/components/RangePicker";
import { RowActions } from "@/components/RowActions";
import { TabStrip } from "@/components/TabStrip";
import { openBulkUnblock, openUnblockDialog, UnblockButton } from "@/components/UnblockDialog";
import { ViewsMenu } from "@/components/ViewsMenu";
import type { Block } from "@/lib/blocks";
import { addressOf, hasPage } from "@/lib/ip";
import { useParts } from "@/lib/list";
import { useMe } from "@/lib/me";
import { crossing, endOf, liftFilter, sources } from "@/lib/report";
import { useSearchState } from "@/lib/search";
import { span } from "@/lib/time";
import { BlockDrawer } from "./blocks/Detail";
import { openImport } from "./blocks/Import";
import { ReviewButton, review } from "./blocks/Review";

type State = "active" | "expired" | "lifted" | "observed" | "all";
const tabs: [string, string][] = [
  ["active", "Active"],
  ["review", "To review"],
  ["expired", "Expired"],
  ["lifted", "Lifted"],
  ["observed", "Observed"],
  ["all", "All"],
];

const empties: Record<string, [string, string]> = {
  active: [
    "Nobody is blocked",
    "As soon as a rule or a person blocks an address or an account, it stands here.",
  ],
  review: ["Everything is reviewed", "Automatic blocks that nobody has looked at yet wait here."],
  expired: ["No block has expired", "Blocks with an end stand here once they are over."],
  lifted: ["No block was lifted", "What people lifted stands here, with who did it and why."],
  observed: ["Nothing was observed", "What rules in observe mode would have blocked stands here."],
  all: ["No blocks yet", "The report of suspicious addresses fills as rules or people block."],
};

/** The filters of the page as the API takes them; tabs are filters, too. */
function useBlockQuery() {
  const [search, change] = useSearchState();
  const text = (name: string) => (typeof search[name] === "string" ? (search[name] as string) : undefined);
  const tab = tabs.some(([t]) => t === text("state")) ? (text("state") as string) : "active";
  const range = text("range") ?? "";
  const minute = Math.floor(Date.now() / 60_000);
  const own = {
    q: text("q"),
    ip: text("ip"),
    account: text("account"),
    rule: text("rule"),
    event: text("event"),
    source: text("source"),
    reviewed: text("reviewed"),
    ...(range ? span(range, minute * 60_000) : {}),
  };
  const query = {
    ...own,
    state: (tab === "review" ? "active" : tab) as State,
    ...(tab === "review" ? { source: "rule", reviewed: "false" } : {}),
  };
  const clean = Object.fromEntries(Object.entries(query).filter(([, v]) => v)) as Record<string, string>;
  const filtered = Object.values(own).some(Boolean);
  return { tab, range, search, text, change, query: clean, filtered };
}

export default function Blocks() {
  const { tab, range, text, change, query, filtered } = useBlockQuery();
  const { can } = useMe();
  const queries = useQueryClient();
  const [selected, setSelected] = useState<Set<string>>(new Set());
  const list = useParts<Block>(["blocks", "list", query], (cursor) =>
    data(api.GET("/v1/blocks", { params: { query: { ...query, cursor, limit: 50 } as never } })),
  );
  const waiting = useQuery({
    queryKey: ["blocks", "waiting"],
    queryFn: () =>
      data<Schemas["ItemsBlockView"]>(
        api.GET("/v1/blocks", {
          params: { query: { state: "active", source: "rule", reviewed: "false", limit: 100 } },
        }),
      ),
  });
  const queue = waiting.data ? `${waiting.data.items?.length ?? 0}${waiting.data.next ? "+" : ""}` : "";
  const rows = list.rows;
  const chosen = (rows ?? []).filter((b) => selected.has(b.id));
  const standing = chosen.filter((b) => b.state === "active" && b.source !== "policy");
  const unreviewed = chosen.filter((b) => b.state === "active" && b.source === "rule" && !b.reviewed_by);
  const reviewAll = useMutation({
    mutationFn: () => review(queries, unreviewed),
    onSuccess: () => setSelected(new Set()),
    onError: notifyProblem,
  });
  const filter = liftFilter(query);
  const setFilter = (name: string, value: string | null) => {
    setSelected(new Set());
    change({ [name]: value ?? undefined });
  };

  return (
    <Page
      title="Blocks"
      about="The report of suspicious addresses: who was blocked, from when to when, why, and who lifted it."
      actions={
        <>
          <ViewsMenu page="blocks" size="sm" />
          <ExportMenu what="blocks" query={query} size="sm" />
          {can("admin") && (
            <>
              <Button variant="default" leftSection={<IconUpload size={16} />} onClick={openImport}>
                Import
              </Button>
              <Button color="red" leftSection={<IconBan size={16} />} onClick={() => openBlockDialog()}>
                Block…
              </Button>
            </>
          )}
        </>
      }
    >
      <Stack gap="sm">
        <Tabs
          value={tab}
          onChange={(t) => {
            setSelected(new Set());
            change({ state: t === "active" ? undefined : (t ?? undefined), block: undefined });
          }}
          keepMounted={false}
        >
          <TabStrip chosen={tab} label="Which blocks">
            {tabs.map(([value, label]) => (
              <Tabs.Tab
                key={value}
                value={value}
                data-tab={value}
                rightSection={
                  value === "review" && queue !== "" && queue !== "0" ? (
                    <Badge size="sm" variant="light" color="orange" circle={queue.length < 2}>
                      {queue}
                    </Badge>
                  ) : undefined
                }
              >
                {label}
              </Tabs.Tab>
            ))}
          </TabStrip>
        </Tabs>
        <Toolbar
          text={text}
          set={setFilter}
          tab={tab}
          range={range}
          filtered={filtered}
          clear={() => {
            setSelected(new Set());
            change({
              q: undefined,
              ip: undefined,
              account: undefined,
              rule: undefined,
              event: undefined,
              source: undefined,
              reviewed: undefined,
              range: undefined,
            });
          }}
        >
          {can("admin") && filter && (
            <Menu position="bottom-end" withinPortal>
              <Menu.Target>
                <Button size="xs" variant="default" px={8} aria-label="More for all that match">
                  <IconDotsVertical size={14} />
                </Button>
              </Menu.Target>
              <Menu.Dropdown>
                <Menu.Item
                  leftSection={<IconLockOpen size={16} />}
                  onClick={() => openBulkUnblock({ filter }, () => setSelected(new Set()))}
                >
                  Unblock all that match…
                </Menu.Item>
              </Menu.Dropdown>
            </Menu>
          )}
        </Toolbar>
        {tab === "review" && <QueueHelp />}
        {chosen.length > 0 && (
          <Group
            className="surface no-print"
            px="md"
            py={8}
            gap="sm"
            role="region"
            aria-label="Selection"
            style={{ borderRadius: "var(--mantine-radius-md)", position: "sticky", top: 62, zIndex: 5 }}
          >
            <Text size="sm" fw={550} aria-live="polite">
              {chosen.length} selected
            </Text>
            {can("analyst") && unreviewed.length > 0 && (
              <Button
                size="xs"
                variant="light"
                loading={reviewAll.isPending}
                onClick={() => reviewAll.mutate()}
              >
                {unreviewed.length === 1 ? "It is right" : `${unreviewed.length} are right`}
              </Button>
            )}
            {can("admin") && standing.length > 0 && (
              <Button
                size="xs"
                onClick={() =>
                  openBulkUnblock({ ids: standing.map((b) => b.id) }, () => setSelected(new Set()))
                }
              >
                Unblock {standing.length}…
              </Button>
            )}
            <Button size="xs" variant="subtle" ml="auto" onClick={() => setSelected(new Set())}>
              Select none
            </Button>
          </Group>
        )}
        <Panel pad={false}>
          <DataTable
            label="blocks"
            columns={tab === "review" ? queueColumns : columns(tab)}
            rows={rows}
            id={(b) => b.id}
            error={list.error}
            retry={list.retry}
            more={list.more}
            loadingMore={list.loadingMore}
            minWidth={tab === "review" ? 980 : 1160}
            selected={can("analyst") ? selected : undefined}
            onSelect={setSelected}
            onOpen={(b) => change({ block: b.id })}
            empty={
              filtered ? (
                <Empty icon={<IconSearch />} title="No block matches">
                  Take a filter away, or look under All.
                </Empty>
              ) : (
                <Empty icon={<IconBan />} title={empties[tab]?.[0] ?? ""}>
                  {empties[tab]?.[1]}
                </Empty>
              )
            }
          />
        </Panel>
      </Stack>
      <BlockDrawer id={text("block")} close={() => change({ block: undefined })} />
      {tab === "review" && <QueueKeys rows={rows ?? []} />}
    </Page>
  );
}

function QueueHelp() {
  return (
    <Text size="sm" c="dimmed">
      Automatic blocks that nobody has looked at. Those of addresses that people signed in well from may be
      mistakes: look at these first.
    </Text>
  );
}

function QueueKeys({ rows }: { rows: Block[] }) {
  const queries = useQueryClient();
  const { can } = useMe();
  const focused = () => {
    const id = document.activeElement?.closest("[data-row]")?.getAttribute("data-row");
    return rows.find((b) => b.id === id);
  };
  useHotkeys([
    [
      "r",
      () => {
        const b = focused();
        if (b && can("analyst")) review(queries, [b]).catch(notifyProblem);
      },
    ],
    [
      "u",
      () => {
        const b = focused();
        if (b && can("admin")) openUnblockDialog(b);
      },
    ],
  ]);
  return null;
}

function Toolbar(props: {
  text: (name: string) => string | undefined;
  set: (name: string, value: string | null) => void;
  tab: string;
  range: string;
  filtered: boolean;
  clear: () => void;
  children?: React.ReactNode;
}) {
  const { text, set } = props;
  const policy = useQuery({
    queryKey: ["policy", "rules"],
    queryFn: () => data<{ activity?: { rules?: { id: string }[] } }>(api.GET("/v1/policy") as never),
    staleTime: 60_000,
  });
  const rules = [
    ...new Set([...(policy.data?.activity?.rules ?? []).map((r) => r.id), text("rule") ?? ""]),
  ].filter(Boolean);
  const events = [
    ...new Set([
      "USER_LOGIN_FAILURE",
      "ADMIN_LOGIN_FAILURE",
      "USER_PASSWORD_RESET_REQUEST",
      "MFA_FAILURE",
      "SMPP_BIND_FAILURE",
      "API_KEY_FAILURE",
      "UNAUTHORIZED_ACCESS",
      "SIGNUP_FAILURE",
      "SESSION_HIJACK_SUSPECTED",
      text("event") ?? "",
    ]),
  ].filter(Boolean);
  const pick = (name: string, label: string, options: { value: string; label: string }[], width: number) => (
    <Select
      size="xs"
      w={{ base: "calc(50% - 5px)", sm: width }}
      aria-label={label}
      placeholder={label}
      clearable
      searchable={options.length > 6}
      value={text(name) ?? null}
      onChange={(v) => set(name, v)}
      data={options}
      comboboxProps={{ width: "max-content", position: "bottom-start" }}
    />
  );
  return (
    <Group gap="xs" className="no-print">
      <FindInput
        label="Search blocks"
        placeholder="Address, account or reference"
        value={text("q") ?? ""}
        set={(v) => set("q", v ?? null)}
        w={{ base: "100%", sm: 220 }}
      />
      {pick(
        "rule",
        "Rule",
        rules.map((r) => ({ value: r, label: r })),
        115,
      )}
      {pick(
        "event",
        "Event",
        events.map((r) => ({ value: r, label: r })),
        120,
      )}
      {props.tab !== "review" &&
        pick(
          "source",
          "Came from",
          Object.entries(sources).map(([value, label]) => ({ value, label })),
          110,
        )}
      {props.tab !== "review" &&
        pick(
          "reviewed",
          "Review",
          [
            { value: "true", label: "Reviewed" },
            { value: "false", label: "Not reviewed" },
          ],
          110,
        )}
      <RangePicker value={props.range} onChange={(r) => set("range", r)} />
      {props.filtered && (
        <Button size="xs" variant="subtle" onClick={props.clear}>
          Clear filters
        </Button>
      )}
      <Group ml="auto">{props.children}</Group>
    </Group>
  );
}

function Subject({ block: b }: { block: Block }) {
  return (
    <Stack gap={0}>
      {b.ip &&
        (hasPage(b.ip) ? (
          <AddressLink ip={addressOf(b.ip)} label={b.ip} />
        ) : (
          <Text size="sm" className="mono">
            {b.ip}
          </Text>
        ))}
      {b.account && <AccountLink account={b.account} realm={b.realm} />}
      {b.session && (
        <Text size="xs" c="dimmed" className="breakable">
          session {b.session}
        </Text>
      )}
    </Stack>
  );
}

function Reason({ block: b }: { block: Block }) {
  return (
    <Stack gap={0}>
      <Text size="sm" lineClamp={2} className="breakable">
        {b.source === "rule" ? b.rule : b.reason || "–"}
      </Text>
      <Text size="xs" c="dimmed" className="breakable" lineClamp={1}>
        {b.source === "rule" ? crossing(b) : (sources[b.source] ?? b.source)}
      </Text>
    </Stack>
  );
}

const hits = (b: Block) => (
  <Stack gap={0}>
    <Text size="sm">{b.hits.toLocaleString("en")}</Text>
  </Stack>
);

const address: Column<Block> = {
  key: "address",
  title: "Address",
  cell: (b) => <Subject block={b} />,
  width: 170,
};
const actions: Column<Block> = {
  key: "actions",
  title: <span className="visually-hidden">Actions</span>,
  width: 130,
  cell: (b) => (
    <Group gap={4} wrap="nowrap" justify="flex-end">
      <UnblockButton block={b} />
      {b.ip && <RowActions ip={b.ip} block={b} />}
    </Group>
  ),
};

function columns(tab: string): Column<Block>[] {
  return [
    address,
    {
      key: "event",
      title: "Event",
      width: 170,
      cell: (b) => <EventName name={b.event} />,
    },
    { key: "from", title: "Blocked", width: 140, cell: (b) => <Moment at={b.blocked_at} /> },
    {
      key: "to",
      title: tab === "lifted" || tab === "expired" ? "Unblocked" : tab === "all" ? "Ends or ended" : "Ends",
      width: 140,
      cell: (b) => {
        const end = endOf(b);
        return end ? (
          <Moment at={end} />
        ) : (
          <Text size="sm" c="dimmed">
            when lifted
          </Text>
        );
      },
    },
    { key: "reason", title: "Reason", cell: (b) => <Reason block={b} /> },
    {
      key: "state",
      title: "Status",
      width: tab === "lifted" ? 170 : 135,
      cell: (b) => (
        <Stack gap={0}>
          <BlockState block={b} detail={b.state !== "active"} />
          <Reviewed block={b} />
        </Stack>
      ),
    },
    { key: "hits", title: "Refused", numeric: true, width: 80, cell: hits },
    actions,
  ];
}

const queueColumns: Column<Block>[] = [
  address,
  {
    key: "doubt",
    title: "Could it be a mistake?",
    width: 210,
    cell: (b) =>
      b.good_accounts_14d > 0 ? (
        <Text size="sm" fw={550} c="var(--severity-warning-text)">
          {b.good_accounts_14d === 1 ? "1 good account" : `${b.good_accounts_14d} good accounts`} from there
        </Text>
      ) : (
        <Text size="sm" c="dimmed">
          no good sign-in from there
        </Text>
      ),
  },
  { key: "reason", title: "Rule", cell: (b) => <Reason block={b} /> },
  {
    key: "event",
    title: "Event",
    cell: (b) => <EventName name={b.event} />,
  },
  { key: "from", title: "Blocked", width: 140, cell: (b) => <Moment at={b.blocked_at} /> },
  { key: "hits", title: "Refused", numeric: true, width: 80, cell: hits },
  {
    key: "actions",
    title: <span className="visually-hidden">Actions</span>,
    width: 230,
    cell: (b) => (
      <Group gap={4} wrap="nowrap" justify="flex-end">
        <ReviewButton block={b} compact />
        <UnblockButton block={b} />
        {b.ip && <RowActions ip={b.ip} block={b} />}
      </Group>
    ),
  },
];

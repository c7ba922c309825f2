import { Alert, Button, Drawer, Group, Stack, Text, TextInput, UnstyledButton } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { IconShieldCheck, IconShieldX, IconX } from "@tabler/icons-react";
import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { api, data, type Schemas } from "@/api/client";
import { CodeBlock } from "@/components/CodeBlock";
import { DataTable } from "@/components/DataTable";
import { DiffView } from "@/components/DiffView";
import { ExportMenu } from "@/components/ExportMenu";
import { Empty, ProblemAlert } from "@/components/Feedback";
import { AddressLink } from "@/components/Links";
import { Page, Panel } from "@/components/Page";
import { RangePicker } from "@/components/RangePicker";
import { When } from "@/components/When";
import { useFilters, useSearchState } from "@/lib/search";
import { person, plural } from "@/lib/words";

type Row = Schemas["AuditRow"];
const fields = ["actor", "action", "target"] as const;

/** Who did what, when and from where, in a chain that shows what was tampered with. */
export default function Audit() {
  const { range, setRange, query } = useFilters([], "30d");
  const [search, change] = useSearchState();
  const filter = {
    ...query,
    ...Object.fromEntries(fields.map((f) => [f, text(search[f])]).filter(([, v]) => v)),
  };
  const list = useInfiniteQuery({
    queryKey: ["audit", filter],
    queryFn: ({ pageParam }) =>
      data(api.GET("/v1/audit", { params: { query: { ...filter, limit: 100, cursor: pageParam } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next,
  });
  const rows = list.data?.pages.flatMap((p) => p.items);
  const open = rows?.find((r) => String(r.seq) === search.row);
  const filtered = fields.some((f) => text(search[f]));
  return (
    <Page
      title="Audit"
      about="Every change and who made it. The rows are chained: one that is altered or missing breaks the chain."
      actions={
        <>
          <Verify />
          <ExportMenu what="audit" query={filter} />
        </>
      }
    >
      <Group gap="sm" align="flex-end">
        <RangePicker value={range} onChange={setRange} />
        {fields.map((f) => (
          <Filter
            key={f}
            name={f}
            value={text(search[f])}
            onChange={(v) => change({ [f]: v || undefined }, true)}
          />
        ))}
        {filtered && (
          <Button
            size="xs"
            variant="subtle"
            leftSection={<IconX size={13} />}
            onClick={() => change(Object.fromEntries(fields.map((f) => [f, undefined])))}
          >
            Clear
          </Button>
        )}
      </Group>
      <Panel pad={false}>
        <DataTable
          label="Audit trail"
          rows={rows}
          error={list.error}
          retry={list.refetch}
          id={(r) => String(r.seq)}
          onOpen={(r) => change({ row: String(r.seq) })}
          more={list.hasNextPage ? () => list.fetchNextPage() : undefined}
          loadingMore={list.isFetchingNextPage}
          minWidth={760}
          empty={
            <Empty title={filtered ? "Nothing fits the filter" : "Nothing in this time"}>
              {filtered ? "Take a part of the filter away." : "Choose a longer time."}
            </Empty>
          }
          columns={[
            { key: "time", title: "When", width: 130, cell: (r) => <When at={r.time} /> },
            {
              key: "actor",
              title: "Who",
              width: 210,
              cell: (r) => (
                <Value value={r.actor} shown={person(r.actor)} set={(v) => change({ actor: v })} />
              ),
            },
            {
              key: "action",
              title: "What",
              width: 150,
              cell: (r) => (
                <Value value={r.action} shown={actionText(r.action)} set={(v) => change({ action: v })} />
              ),
            },
            {
              key: "target",
              title: "Of",
              cell: (r) => (
                <Text size="sm" className="breakable" lineClamp={2}>
                  {r.target}
                  {r.reason && (
                    <Text span size="xs" c="dimmed">
                      {r.target ? " · " : ""}
                      {r.reason}
                    </Text>
                  )}
                </Text>
              ),
            },
            { key: "from", title: "From", width: 150, cell: (r) => <From from={r.from} /> },
            {
              key: "open",
              title: <span className="visually-hidden">Details</span>,
              width: 90,
              cell: (r) => (
                <Button
                  size="compact-sm"
                  variant="default"
                  onClick={() => change({ row: String(r.seq) })}
                  aria-label={`Details of row ${r.seq}`}
                >
                  Details
                </Button>
              ),
            },
          ]}
        />
      </Panel>
      <Drawer
        opened={open !== undefined}
        onClose={() => change({ row: undefined })}
        position="right"
        size="lg"
        padding="lg"
        title={
          <Text fw={650} fz="lg">
            {open && actionText(open.action)}
          </Text>
        }
        closeButtonProps={{ "aria-label": "Close the details" }}
      >
        {open && <Details row={open} />}
      </Drawer>
    </Page>
  );
}

const text = (v: unknown) => (typeof v === "string" ? v : "");

/** "policy.set" reads "policy: set". */
export const actionText = (action: string) => {
  const [what, ...how] = action.split(".");
  const words = (s: string) => s.replaceAll("_", " ");
  return how.length === 0 ? words(action) : `${words(what ?? "")}: ${words(how.join(" "))}`;
};

function From({ from }: { from?: string }) {
  if (!from) return <Text size="sm">–</Text>;
  return /^[0-9a-f:.]+$/i.test(from) ? (
    <AddressLink ip={from} />
  ) : (
    <Text size="sm" className="mono breakable">
      {from}
    </Text>
  );
}

/** A value that the list can be filtered by. */
function Value(props: { value: string; shown: string; set: (v: string) => void }) {
  return (
    <UnstyledButton
      className="breakable"
      fz="sm"
      title={`Only ${props.shown}`}
      onClick={() => props.set(props.value)}
    >
      {props.shown}
    </UnstyledButton>
  );
}

const labels = {
  actor: { label: "Who", placeholder: "operator:ann@example.org" },
  action: { label: "What", placeholder: "policy.set" },
  target: { label: "Of", placeholder: "203.0.113.7" },
};

function Filter(props: { name: (typeof fields)[number]; value: string; onChange: (v: string) => void }) {
  const [value, setValue] = useState(props.value);
  useEffect(() => setValue(props.value), [props.value]);
  const later = useDebouncedCallback(props.onChange, 400);
  return (
    <TextInput
      size="xs"
      label={labels[props.name].label}
      placeholder={labels[props.name].placeholder}
      value={value}
      onChange={(e) => {
        setValue(e.currentTarget.value);
        later(e.currentTarget.value.trim());
      }}
      w={{ base: "100%", xs: 190 }}
    />
  );
}

function Details({ row }: { row: Row }) {
  const both = row.before != null && row.after != null;
  return (
    <Stack gap="md">
      <Stack gap={4}>
        {(
          [
            ["When", <When key="t" at={row.time} exactly />],
            ["Who", person(row.actor)],
            ["From", <From key="f" from={row.from} />],
            ["Of", row.target || "–"],
            ["Why", row.reason || "–"],
            ["Row", String(row.seq)],
          ] as const
        ).map(([name, value]) => (
          <Group key={name} gap="sm" wrap="nowrap" align="baseline">
            <Text size="sm" c="dimmed" w={64} style={{ flex: "none" }}>
              {name}
            </Text>
            <Text component="div" size="sm" className="breakable">
              {value}
            </Text>
          </Group>
        ))}
      </Stack>
      {both ? (
        <Stack gap={6}>
          <Text fw={600} size="sm">
            Before and after
          </Text>
          <DiffView
            before={pretty(row.before)}
            after={pretty(row.after)}
            label="Before and after"
            maxHeight="60vh"
          />
        </Stack>
      ) : row.after != null ? (
        <Stack gap={6}>
          <Text fw={600} size="sm">
            After
          </Text>
          <CodeBlock code={pretty(row.after)} label="After" maxHeight="60vh" />
        </Stack>
      ) : row.before != null ? (
        <Stack gap={6}>
          <Text fw={600} size="sm">
            Before
          </Text>
          <CodeBlock code={pretty(row.before)} label="Before" maxHeight="60vh" />
        </Stack>
      ) : null}
    </Stack>
  );
}

const pretty = (v: unknown) => (typeof v === "string" ? v : JSON.stringify(v, null, 2));

function Verify() {
  const verify = useMutation({ mutationFn: () => data(api.GET("/v1/audit/verify")) });
  const r = verify.data;
  return (
    <>
      <Button
        size="xs"
        variant="default"
        leftSection={<IconShieldCheck size={14} />}
        loading={verify.isPending}
        onClick={() => verify.mutate()}
      >
        Verify the chain
      </Button>
      <Drawer
        opened={r !== undefined || verify.error !== null}
        onClose={verify.reset}
        position="right"
        padding="lg"
        title={
          <Text fw={650} fz="lg">
            The chain of the audit trail
          </Text>
        }
      >
        <ProblemAlert error={verify.error} />
        {r &&
          (r.ok ? (
            <Alert
              color="warder"
              variant="light"
              icon={<IconShieldCheck />}
              title="The chain is whole"
              role="status"
            >
              {plural(r.rows, "row")} checked, from number {r.first} to {r.last}. None was altered, none is
              missing between them.
            </Alert>
          ) : (
            <Alert color="red" icon={<IconShieldX />} title="The chain is broken" role="alert">
              {r.bad !== undefined && `At row ${r.bad}: `}
              {r.fault}. Rows were altered or taken away outside of Warder: compare with a backup.
            </Alert>
          ))}
        {r?.doubts && (
          <Alert
            color="yellow"
            variant="light"
            mt="md"
            icon={<IconShieldX />}
            title="What the chain cannot show"
          >
            {r.doubts.map((doubt) => (
              <Text key={doubt} size="sm">
                {doubt}.
              </Text>
            ))}
          </Alert>
        )}
      </Drawer>
    </>
  );
}

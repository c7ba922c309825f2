import { Badge, Button, Group, Stack, Text } from "@mantine/core";
import { IconKey } from "@tabler/icons-react";
import { api, data } from "@/api/client";
import { type Column, DataTable } from "@/components/DataTable";
import { Empty } from "@/components/Feedback";
import { type Demand, demandOf, demandWords, openLiftDemand } from "@/components/LiftDemand";
import { AccountLink, AddressLink } from "@/components/Links";
import { Moment } from "@/components/Moment";
import { Page, Panel } from "@/components/Page";
import { addressOf, hasPage } from "@/lib/ip";
import { useParts } from "@/lib/list";
import { useMe } from "@/lib/me";

/** Who has to show more before signing in, until when, and how to end that. */
export default function Demands() {
  const { can } = useMe();
  const list = useParts<Demand>(["demands", "list"], (cursor) =>
    data(api.GET("/v1/demands", { params: { query: { cursor, limit: 50 } } })),
  );
  return (
    <Page
      title="Demands"
      about="Who has to solve a challenge or show a second factor before signing in, because a rule was crossed. Nobody here is refused."
    >
      <Panel pad={false}>
        <DataTable
          label="demands"
          columns={columns(can("admin"))}
          rows={list.rows}
          id={(d) => d.id}
          error={list.error}
          retry={list.retry}
          more={list.more}
          loadingMore={list.loadingMore}
          minWidth={760}
          empty={
            <Empty icon={<IconKey />} title="Nothing is asked for">
              Rules with the action CAPTCHA or MFA ask for more instead of refusing. Whoever crosses one
              stands here until the cooling period is over.
            </Empty>
          }
        />
      </Panel>
    </Page>
  );
}

const columns = (may: boolean): Column<Demand>[] => [
  {
    key: "who",
    title: "Of whom",
    cell: (d) => (
      <Stack gap={0}>
        {d.account && <AccountLink account={d.account} realm={d.realm} />}
        {d.ip && hasPage(d.ip) ? <AddressLink ip={addressOf(d.ip)} label={d.ip} /> : d.ip}
        {!d.account && !d.ip && <Text size="sm">{demandOf(d)}</Text>}
      </Stack>
    ),
  },
  {
    key: "what",
    title: "What",
    width: 190,
    cell: (d) => (
      <Group gap={6}>
        <Text size="sm">{demandWords[d.action] ?? d.action}</Text>
        {d.observed && (
          <Badge size="xs" variant="light" color="gray" tt="none">
            observed only
          </Badge>
        )}
      </Group>
    ),
  },
  {
    key: "rule",
    title: "Rule",
    cell: (d) => (
      <Text size="sm" className="breakable">
        {d.rule}
      </Text>
    ),
  },
  { key: "from", title: "Since", width: 150, cell: (d) => <Moment at={d.from} /> },
  {
    key: "until",
    title: "Until",
    width: 150,
    cell: (d) =>
      d.until ? (
        <Moment at={d.until} />
      ) : (
        <Text size="sm" c="dimmed">
          it is lifted
        </Text>
      ),
  },
  {
    key: "actions",
    title: <span className="visually-hidden">Actions</span>,
    width: 90,
    cell: (d) =>
      may &&
      !d.observed && (
        <Group justify="flex-end">
          <Button
            size="compact-sm"
            variant="default"
            aria-label={`Lift the demand on ${demandOf(d)}`}
            onClick={() => openLiftDemand(d)}
          >
            Lift
          </Button>
        </Group>
      ),
  },
];

import { Badge, Button, Group, Text } from "@mantine/core";
import { IconShieldCheck } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { api, data, type Schemas } from "@/api/client";
import { type Column, DataTable } from "@/components/DataTable";
import { Empty, notifyProblem } from "@/components/Feedback";
import { AddressLink } from "@/components/Links";
import { Page, Panel } from "@/components/Page";
import { openTrustDialog } from "@/components/TrustDialog";
import { When } from "@/components/When";
import { addressOf, hasPage } from "@/lib/ip";
import { useMe } from "@/lib/me";
import { removeTrust } from "@/lib/trust";
import { person } from "@/lib/words";

type Entry = Schemas["TrustedView"];

/** The trusted list: what is never counted, challenged or blocked. */
export default function Trusted() {
  const { can } = useMe();
  const queries = useQueryClient();
  const list = useQuery({
    queryKey: ["trusted"],
    queryFn: () => data<Schemas["ItemsTrustedView"]>(api.GET("/v1/trusted")),
  });
  const columns: Column<Entry>[] = [
    {
      key: "ip",
      title: "Address or prefix",
      width: 220,
      cell: (t) =>
        hasPage(t.ip) ? (
          <AddressLink ip={addressOf(t.ip)} label={t.ip} />
        ) : (
          <Text size="sm" className="mono">
            {t.ip}
          </Text>
        ),
    },
    {
      key: "note",
      title: "Note",
      cell: (t) => (
        <Text size="sm" className="breakable" c={t.note ? undefined : "dimmed"}>
          {t.note || "–"}
        </Text>
      ),
    },
    {
      key: "by",
      title: "By",
      cell: (t) =>
        t.read_only ? (
          <Badge variant="light" color="gray" tt="none">
            Policy
          </Badge>
        ) : (
          <Text size="sm" className="breakable">
            {person(t.by) || "–"}
          </Text>
        ),
    },
    { key: "from", title: "Since", width: 140, cell: (t) => (t.from ? <When at={t.from} /> : "–") },
    {
      key: "until",
      title: "Ends",
      width: 140,
      cell: (t) =>
        t.until ? (
          <When at={t.until} />
        ) : (
          <Text size="sm" c="dimmed">
            when removed
          </Text>
        ),
    },
    {
      key: "actions",
      title: <span className="visually-hidden">Actions</span>,
      width: 150,
      cell: (t) => (
        <Group justify="flex-end">
          {t.read_only ? (
            <Text size="xs" c="dimmed">
              changed in the policy
            </Text>
          ) : can("admin") ? (
            <Button
              size="compact-sm"
              variant="default"
              aria-label={`Stop trusting ${t.ip}`}
              onClick={() => removeTrust(queries, t).catch(notifyProblem)}
            >
              Stop trusting
            </Button>
          ) : null}
        </Group>
      ),
    },
  ];
  const add = can("admin") && (
    <Button leftSection={<IconShieldCheck size={16} />} onClick={() => openTrustDialog()}>
      Trust…
    </Button>
  );
  return (
    <Page
      title="Trusted"
      about="What comes from these is recorded, but never counted, challenged or blocked: offices, partners, monitors. Whatever else says otherwise, the trusted list wins."
      actions={add}
    >
      <Panel pad={false}>
        <DataTable
          label="trusted addresses"
          columns={columns}
          rows={list.data ? (list.data.items ?? []) : undefined}
          id={(t) => t.id}
          error={list.error}
          retry={() => void list.refetch()}
          minWidth={760}
          empty={
            <Empty icon={<IconShieldCheck />} title="Nothing is trusted">
              Trust the addresses of your offices and monitors, so that a forgotten password there locks
              nobody out.
            </Empty>
          }
        />
      </Panel>
    </Page>
  );
}

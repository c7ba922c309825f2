import { Button, Group, Stack, Text } from "@mantine/core";
import type { ReactNode } from "react";
import type { Schemas } from "@/api/client";
import { addressOf, hasPage } from "@/lib/ip";
import { useMe } from "@/lib/me";
import { type Column, DataTable } from "./DataTable";
import { openEndSessions } from "./EndSessions";
import { AccountLink, AddressLink } from "./Links";
import { When } from "./When";

type Session = Schemas["SessionView"];

const From = ({ ip }: { ip?: string }) =>
  ip && hasPage(ip) ? <AddressLink ip={addressOf(ip)} label={ip} /> : <span>{ip ?? "–"}</span>;

/** Sessions of applications; each can be ended. */
export function SessionTable(props: {
  rows: Session[] | undefined;
  without?: "account" | "ip";
  error?: unknown;
  retry?: () => void;
  more?: () => void;
  loadingMore?: boolean;
  empty?: ReactNode;
}) {
  const { can } = useMe();
  const columns: Column<Session>[] = [
    ...(props.without === "account"
      ? []
      : [
          {
            key: "account",
            title: "Account",
            cell: (s: Session) => <AccountLink account={s.account} realm={s.realm} />,
          },
        ]),
    {
      key: "from",
      title: "Address",
      cell: (s) => (
        <Stack gap={0}>
          <From ip={s.last_from ?? s.opened_from} />
          {s.opened_from && s.last_from && s.opened_from !== s.last_from && (
            <Group gap={4}>
              <Text size="xs" c="dimmed">
                opened from
              </Text>
              <From ip={s.opened_from} />
            </Group>
          )}
        </Stack>
      ),
    },
    {
      key: "agent",
      title: "With",
      cell: (s) => (
        <Text size="sm" className="breakable">
          {s.agent?.replace("/", " on ") || "–"}
        </Text>
      ),
    },
    { key: "used", title: "Last used", cell: (s) => <When at={s.last_used} /> },
    { key: "opened", title: "Opened", wide: true, cell: (s) => <When at={s.opened} /> },
    {
      key: "id",
      title: "Session",
      wide: true,
      cell: (s) => (
        <Text size="xs" c="dimmed" className="mono breakable" lineClamp={1} maw={170} title={s.session}>
          {s.session}
        </Text>
      ),
    },
    {
      key: "end",
      title: <span className="visually-hidden">Actions</span>,
      width: 150,
      cell: (s) =>
        s.revoked_at ? (
          <Stack gap={0}>
            <Text size="xs" c="dimmed" className="breakable">
              ended{s.reason ? `: ${s.reason}` : ""}
            </Text>
            <When at={s.revoked_at} dim />
          </Stack>
        ) : can("admin") ? (
          <Group justify="flex-end">
            <Button
              size="compact-sm"
              variant="default"
              aria-label={`End the session ${s.session} of ${s.account}`}
              onClick={() => openEndSessions({ session: s })}
            >
              End
            </Button>
          </Group>
        ) : null,
    },
  ];
  return (
    <DataTable
      label="sessions"
      columns={columns}
      rows={props.rows}
      id={(s) => s.session}
      error={props.error}
      retry={props.retry}
      more={props.more}
      loadingMore={props.loadingMore}
      empty={props.empty}
      minWidth={620}
    />
  );
}

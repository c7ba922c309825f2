import { Button, Group, SegmentedControl, Stack } from "@mantine/core";
import { IconDevices, IconLogout } from "@tabler/icons-react";
import { api, data, type Schemas } from "@/api/client";
import { openEndSessions } from "@/components/EndSessions";
import { Empty } from "@/components/Feedback";
import { addressFault, FindInput } from "@/components/FindInput";
import { Page, Panel } from "@/components/Page";
import { SessionTable } from "@/components/SessionTable";
import { useParts } from "@/lib/list";
import { useMe } from "@/lib/me";
import { useSearchState } from "@/lib/search";

/** Sessions of applications: who is signed in where; end one, all of an account, all of an address. */
export default function Sessions() {
  const { can } = useMe();
  const [search, change] = useSearchState();
  const text = (name: string) => (typeof search[name] === "string" ? (search[name] as string) : "");
  const ended = search.state === "all";
  const [account, realm, ip] = [text("account"), text("realm"), text("ip")];
  const list = useParts<Schemas["SessionView"]>(["sessions", "list", ended, account, realm, ip], (cursor) =>
    data(
      api.GET("/v1/sessions", {
        params: {
          query: {
            live: !ended,
            account: account || undefined,
            realm: realm || undefined,
            ip: ip || undefined,
            cursor,
            limit: 50,
          },
        },
      }),
    ),
  );
  return (
    <Page
      title="Sessions"
      about="Who is signed in to your applications, as they report it. Ending a session tells the application to sign the person out."
      actions={
        can("admin") && (
          <>
            {account && (
              <Button
                color="red"
                variant="light"
                leftSection={<IconLogout size={16} />}
                onClick={() => openEndSessions({ account, realm: realm || undefined })}
              >
                End all of the account…
              </Button>
            )}
            {ip && (
              <Button
                color="red"
                variant="light"
                leftSection={<IconLogout size={16} />}
                onClick={() => openEndSessions({ ip })}
              >
                End all of the address…
              </Button>
            )}
          </>
        )
      }
    >
      <Stack gap="sm">
        <Group gap="xs" align="flex-start">
          <SegmentedControl
            size="xs"
            aria-label="Which sessions"
            value={ended ? "all" : "live"}
            onChange={(v) => change({ state: v === "all" ? "all" : undefined })}
            data={[
              { value: "live", label: "Open" },
              { value: "all", label: "All" },
            ]}
          />
          <FindInput label="Account" value={account} set={(v) => change({ account: v })} />
          <FindInput
            label="Address or prefix"
            value={ip}
            set={(v) => change({ ip: v })}
            check={addressFault}
          />
        </Group>
        <Panel pad={false}>
          <SessionTable
            rows={list.rows}
            error={list.error}
            retry={list.retry}
            more={list.more}
            loadingMore={list.loadingMore}
            empty={
              <Empty icon={<IconDevices />} title={account || ip ? "No session matches" : "No open sessions"}>
                {account || ip
                  ? "The account has to be written as the application writes it."
                  : "Applications report them with the event of a completed sign-in (session)."}
              </Empty>
            }
          />
        </Panel>
      </Stack>
    </Page>
  );
}

import { Anchor, Button, Group, Stack, Text } from "@mantine/core";
import { IconEraser, IconLogout } from "@tabler/icons-react";
import { useQueries, useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { api, data, type Schemas } from "@/api/client";
import { LatestEvents, Sample, Tallied, Timeline } from "@/components/Activity";
import { Band } from "@/components/Band";
import { BlockList } from "@/components/BlockList";
import { openClearTracking } from "@/components/ClearTracking";
import { openEndSessions } from "@/components/EndSessions";
import { Figures } from "@/components/Facts";
import { Loading } from "@/components/Feedback";
import { openLiftDemand } from "@/components/LiftDemand";
import { AddressLink } from "@/components/Links";
import { Notes } from "@/components/Notes";
import { Page, Panel, Pending } from "@/components/Page";
import { RangePicker } from "@/components/RangePicker";
import { SessionTable } from "@/components/SessionTable";
import { openTrustDialog } from "@/components/TrustDialog";
import { openUnblockDialog, UnblockButton } from "@/components/UnblockDialog";
import { When } from "@/components/When";
import { Counters, Why } from "@/components/Why";
import type { Block } from "@/lib/blocks";
import { addressOf, hasPage } from "@/lib/ip";
import { useMe } from "@/lib/me";
import { useActivity } from "@/lib/profile";
import { useFilters, useSearchState } from "@/lib/search";
import type { Span } from "@/lib/time";
import { refusingBlocks, whyNot } from "@/lib/whynot";
import { straight } from "@/lib/words";

type Profile = Schemas["AccountProfile"];

/** One account: why this person cannot sign in, and what to do about it. */
export default function Account() {
  const { account } = useParams({ strict: false }) as { account: string };
  const [search] = useSearchState();
  const realm = typeof search.realm === "string" ? search.realm : undefined;
  const { can } = useMe();
  const { range, query, setRange } = useFilters<Span>([]);
  const profile = useQuery({
    queryKey: ["accounts", account, realm],
    queryFn: () =>
      data<Profile>(api.GET("/v1/accounts/{account}", { params: { path: { account }, query: { realm } } })),
  });
  const p = profile.data;
  const of = { account, realm };
  const activity = useActivity(of, range, query);
  const refusing = useQueries({
    queries: (p ? refusingBlocks(p) : []).map((id) => ({
      queryKey: ["blocks", "one", id],
      queryFn: () => data<Block>(api.GET("/v1/blocks/{id}", { params: { path: { id } } })),
    })),
  });
  if (!p) return <Pending title={straight(account)} what="the account" query={profile} />;
  const met = refusing.flatMap((q) => (q.data ? [q.data] : []));
  const asking = refusing.some((q) => q.isPending);
  const findings = whyNot(p, met);
  const admin = can("admin");
  return (
    <Page
      title={straight(account)}
      about={
        <>
          {realm ? `Account in realm ${straight(realm)}. ` : "Account. "}
          {p.known && (
            <>
              Seen first <When at={p.first_seen} />, last <When at={p.last_seen} />.
            </>
          )}
        </>
      }
      actions={
        admin && (
          <>
            <Button
              variant="default"
              leftSection={<IconLogout size={16} />}
              onClick={() => openEndSessions({ account, realm })}
            >
              End all sessions…
            </Button>
            <Button
              variant="default"
              leftSection={<IconEraser size={16} />}
              onClick={() => openClearTracking({ account, realm })}
            >
              Clear tracking…
            </Button>
          </>
        )
      }
    >
      <section aria-labelledby="whynot">
        <Text component="h2" id="whynot" fz="md" fw={650} m={0} mb="xs">
          Why can this person not sign in?
        </Text>
        {asking ? (
          <Loading label="Looking for what refuses" />
        ) : (
          <Stack gap="sm">
            {findings.map((f) => {
              const b = f.block;
              return (
                <Band
                  key={f.key}
                  tone={f.tone}
                  says={f.says}
                  why={f.why}
                  todo={f.todo}
                  below={
                    f.blocks && (
                      <Stack gap={6} mt={4}>
                        {f.blocks.map((x) => (
                          <Group key={x.id} gap="sm">
                            <UnblockButton block={x} />
                            <Text size="sm" className="mono">
                              {x.reference}
                            </Text>
                            <AddressLink ip={addressOf(x.ip ?? "")} label={x.ip} />
                            <When at={x.blocked_at} dim />
                          </Group>
                        ))}
                      </Stack>
                    )
                  }
                  action={
                    b && admin && b.source !== "policy" ? (
                      <>
                        <Button size="xs" onClick={() => openUnblockDialog(b, "error")}>
                          Unblock…
                        </Button>
                        {b.ip && (
                          <Button size="xs" variant="default" onClick={() => openTrustDialog({ ip: b.ip })}>
                            Trust…
                          </Button>
                        )}
                      </>
                    ) : f.demand && admin ? (
                      <Button
                        size="xs"
                        variant="default"
                        onClick={() => f.demand && openLiftDemand(f.demand)}
                      >
                        Ask for nothing more…
                      </Button>
                    ) : undefined
                  }
                />
              );
            })}
          </Stack>
        )}
      </section>
      <Figures
        items={[
          { name: "Events", value: p.events.toLocaleString("en") },
          {
            name: "Suspicious",
            value: p.bad.toLocaleString("en"),
            tone: p.bad ? "var(--severity-high-text)" : undefined,
          },
          { name: "Sign-ins completed", value: p.completed.toLocaleString("en") },
          {
            name: "Open sessions",
            value: p.sessions.filter((s) => !s.revoked_at).length.toLocaleString("en"),
          },
          { name: "Known places, 90 days", value: p.known_sources.length.toLocaleString("en") },
        ]}
      />
      <div className="two-columns">
        <Stack gap="lg">
          <Panel title="When" aside={<RangePicker value={range} onChange={setRange} />}>
            <Timeline activity={activity} />
          </Panel>
          <Panel title="What happened" pad={false}>
            {activity.events.isPending ? (
              <Loading label="Loading events" />
            ) : (
              <LatestEvents events={activity.latest} search={{ account, realm }} show="ip" />
            )}
          </Panel>
          <Panel
            title="Sessions"
            pad={false}
            aside={
              p.sessions.length > 8 && (
                <Anchor component={Link} to="/sessions" search={of as never} size="sm">
                  All sessions
                </Anchor>
              )
            }
          >
            <SessionTable
              rows={p.sessions.slice(0, 8)}
              without="account"
              empty={
                <Text size="sm" c="dimmed" px="md" pb="md">
                  No application told of a session.
                </Text>
              }
            />
          </Panel>
        </Stack>
        <Stack gap="lg">
          <Panel title="Addresses it was tried from" aside={<Sample all={activity.all} />}>
            <Tallied
              events={activity.latest}
              by={(e) => e.address ?? e.ip}
              show={(ip) => <AddressLink ip={addressOf(ip)} label={ip} />}
              none="None in this time."
            />
          </Panel>
          <Panel title="Where it signed in from">
            {p.known_sources.length === 0 ? (
              <Text size="sm" c="dimmed">
                No sign-in was completed in 90 days.
              </Text>
            ) : (
              <Stack gap={6}>
                {p.known_sources.slice(0, 10).map((k) => (
                  <Group key={`${k.source} ${k.ip}`} justify="space-between" wrap="nowrap" gap="sm">
                    {k.ip && hasPage(k.ip) ? (
                      <AddressLink ip={addressOf(k.ip)} label={k.ip} />
                    ) : (
                      <Text size="sm" className="breakable" lineClamp={1}>
                        {k.ip ?? `device ${k.source ?? ""}`}
                      </Text>
                    )}
                    <When at={k.last_signed_in} dim />
                  </Group>
                ))}
              </Stack>
            )}
          </Panel>
          <Panel title="Blocks">
            <BlockList blocks={p.blocks} none="The account itself was never blocked." />
          </Panel>
          <Panel title="Why is it decided so?">
            <Stack gap="md">
              <Why why={p.why} />
              <Counters counters={p.why.counters} />
            </Stack>
          </Panel>
          <Panel title="Notes">
            <Notes on={`account:${account}`} about={account} />
          </Panel>
        </Stack>
      </div>
    </Page>
  );
}

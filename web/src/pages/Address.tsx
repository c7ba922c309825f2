import { Anchor, Badge, Button, Group, Menu, Stack, Text } from "@mantine/core";
import { modals } from "@mantine/modals";
import {
  IconBan,
  IconDots,
  IconEraser,
  IconFlag,
  IconFlagOff,
  IconLogout,
  IconShieldCheck,
} from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { api, data, type Schemas } from "@/api/client";
import { LatestEvents, Sample, Tallied, Timeline } from "@/components/Activity";
import { Band } from "@/components/Band";
import { openBlockDialog } from "@/components/BlockDialog";
import { BlockList } from "@/components/BlockList";
import { openClearTracking } from "@/components/ClearTracking";
import { openEndSessions } from "@/components/EndSessions";
import { Figures } from "@/components/Facts";
import { Loading, notifyProblem } from "@/components/Feedback";
import { openLiftDemand } from "@/components/LiftDemand";
import { AccountLink, Copy } from "@/components/Links";
import { MarkForm } from "@/components/Mark";
import { Notes } from "@/components/Notes";
import { Page, Panel, Pending } from "@/components/Page";
import { RangePicker } from "@/components/RangePicker";
import { SessionTable } from "@/components/SessionTable";
import { openTrustDialog } from "@/components/TrustDialog";
import { openUnblockDialog } from "@/components/UnblockDialog";
import { When } from "@/components/When";
import { Counters, Why } from "@/components/Why";
import { addressOf, covers } from "@/lib/ip";
import { useMe } from "@/lib/me";
import { useActivity } from "@/lib/profile";
import { crossing, remaining } from "@/lib/report";
import { useFilters } from "@/lib/search";
import type { Span } from "@/lib/time";
import { removeTrust } from "@/lib/trust";
import { person, straight } from "@/lib/words";

type Profile = Schemas["AddressProfile"];

/** Everything about one address: is it blocked and why, what it did, and what can be done. */
export default function Address() {
  const { ip } = useParams({ strict: false }) as { ip: string };
  const { can } = useMe();
  const queries = useQueryClient();
  const { range, query, setRange } = useFilters<Span>([]);
  const profile = useQuery({
    queryKey: ["ips", ip],
    queryFn: () => data<Profile>(api.GET("/v1/ips/{ip}", { params: { path: { ip } } })),
  });
  const trusted = useQuery({
    queryKey: ["trusted"],
    queryFn: () => data<Schemas["ItemsTrustedView"]>(api.GET("/v1/trusted")),
  });
  const p = profile.data;
  const subject = p?.ip ?? ip;
  const activity = useActivity({ ip: subject }, range, query);
  if (!p) return <Pending title={ip} what="the address" query={profile} />;
  const standing = p.blocks.filter((b) => b.state === "active");
  const own = standing.find((b) => b.ip === p.ip && !b.account && !b.session && b.source !== "policy");
  const trust = trusted.data?.items?.find((t) => covers(t.ip, addressOf(p.ip)));
  const demand = (p.why.demands ?? []).find((d) => !d.observed);
  const admin = can("admin");
  return (
    <Page
      title={p.ip}
      beside={<Copy value={p.ip} label="Copy the address" />}
      about={
        <Group gap={8} component="span">
          {p.known ? (
            <span>
              Seen first <When at={p.first_seen} inline />, last <When at={p.last_seen} inline />
            </span>
          ) : (
            "Nothing was ever seen of it."
          )}
          {p.fraudulent && (
            <Badge color="red" variant="light" leftSection={<IconFlag size={12} />} tt="none">
              Fraudulent
            </Badge>
          )}
        </Group>
      }
      actions={
        <>
          {admin &&
            (own ? (
              <Button onClick={() => openUnblockDialog(own)}>Unblock…</Button>
            ) : (
              <Button
                color="red"
                leftSection={<IconBan size={16} />}
                onClick={() => openBlockDialog({ ip: p.ip })}
              >
                Block…
              </Button>
            ))}
          {admin && !trust && (
            <Button
              variant="default"
              leftSection={<IconShieldCheck size={16} />}
              onClick={() => openTrustDialog({ ip: p.ip })}
            >
              Trust…
            </Button>
          )}
          {can("analyst") && (
            <Menu position="bottom-end" width={240}>
              <Menu.Target>
                <Button variant="default" px={10} aria-label="More actions">
                  <IconDots size={16} />
                </Button>
              </Menu.Target>
              <Menu.Dropdown>
                <Menu.Item
                  leftSection={p.fraudulent ? <IconFlagOff size={16} /> : <IconFlag size={16} />}
                  onClick={() => {
                    const id = modals.open({
                      title: p.fraudulent ? "Not fraudulent after all?" : `Mark ${p.ip} as fraudulent?`,
                      children: (
                        <MarkForm
                          ip={p.ip}
                          fraudulent={!p.fraudulent}
                          note={p.note}
                          close={() => modals.close(id)}
                        />
                      ),
                    });
                  }}
                >
                  {p.fraudulent ? "Take the mark away…" : "Mark as fraudulent…"}
                </Menu.Item>
                {admin && (
                  <>
                    <Menu.Item
                      leftSection={<IconLogout size={16} />}
                      onClick={() => openEndSessions({ ip: p.ip })}
                    >
                      End its sessions…
                    </Menu.Item>
                    <Menu.Item
                      leftSection={<IconEraser size={16} />}
                      onClick={() => openClearTracking({ ip: p.ip })}
                    >
                      Clear its tracking…
                    </Menu.Item>
                  </>
                )}
              </Menu.Dropdown>
            </Menu>
          )}
        </>
      }
    >
      <Stack gap="sm">
        {standing.map((b) => (
          <Band
            key={b.id}
            tone="stop"
            says={
              b.account
                ? `Blocked for ${straight(b.account)}, ${remaining(b)}.`
                : b.ip === p.ip
                  ? `Blocked, ${remaining(b)}.`
                  : `Blocked with ${b.ip}, ${remaining(b)}.`
            }
            why={
              <>
                {b.source === "rule"
                  ? `Rule ${b.rule}: ${crossing(b)}${b.event ? `, ${b.event}` : ""}`
                  : `${person(b.by)}: ${b.reason || "no reason given"}`}
                . Refused {b.hits.toLocaleString("en")} {b.hits === 1 ? "time" : "times"}
                {b.last_hit && (
                  <>
                    , last <When at={b.last_hit} inline />
                  </>
                )}
                . Reference <span className="mono">{b.reference}</span>.
              </>
            }
            todo={
              b.good_accounts_14d > 0
                ? `${b.good_accounts_14d === 1 ? "1 account" : `${b.good_accounts_14d} accounts`} signed in well from here in the 14 days before: is it a mistake?`
                : undefined
            }
            action={
              admin && b.source !== "policy" && b.id !== own?.id ? (
                <Button size="xs" variant="default" onClick={() => openUnblockDialog(b)}>
                  Unblock…
                </Button>
              ) : undefined
            }
          />
        ))}
        {trust && (
          <Band
            tone="trust"
            says={`Trusted${trust.ip === p.ip ? "" : ` with ${trust.ip}`}${trust.until ? "" : " until removed"}.`}
            why={
              <>
                {trust.note ? `${trust.note}. ` : ""}
                {trust.read_only ? "The policy says so. " : trust.by ? `By ${person(trust.by)}. ` : ""}
                {trust.until && (
                  <>
                    Ends <When at={trust.until} dim />.{" "}
                  </>
                )}
                Nothing of it is counted or refused.
              </>
            }
            action={
              admin && !trust.read_only ? (
                <Button
                  size="xs"
                  variant="default"
                  onClick={() => removeTrust(queries, trust).catch(notifyProblem)}
                >
                  Stop trusting
                </Button>
              ) : undefined
            }
          />
        )}
        {p.fraudulent && p.marked_by && (
          <Band
            tone="hint"
            says={`Marked as fraudulent by ${person(p.marked_by)}.`}
            why={p.note || undefined}
          />
        )}
        {standing.length === 0 && !trust && p.why.decision.action !== "allow" && (
          <Band
            tone="step"
            says={`Who comes from here is asked for ${p.why.decision.action === "mfa" ? "a second factor" : p.why.decision.action === "challenge" ? "a challenge" : "nothing: it is refused"}.`}
            why={`Because of ${p.why.decision.rule ? `rule ${p.why.decision.rule}` : p.why.decision.reason}.`}
            action={
              demand &&
              can("admin") && (
                <Button size="xs" variant="default" onClick={() => openLiftDemand(demand)}>
                  Ask for nothing more…
                </Button>
              )
            }
          />
        )}
      </Stack>
      <Figures
        items={[
          { name: "Events", value: p.events.toLocaleString("en") },
          {
            name: "Suspicious",
            value: p.bad.toLocaleString("en"),
            tone: p.bad ? "var(--severity-high-text)" : undefined,
          },
          { name: "Sign-ins completed", value: p.completed.toLocaleString("en") },
          { name: "Good accounts, 14 days", value: p.accounts.length.toLocaleString("en") },
          { name: "Automatic blocks, ever", value: p.blocks_ever.toLocaleString("en") },
        ]}
      />
      <div className="two-columns">
        <Stack gap="lg">
          <Panel title="When" aside={<RangePicker value={range} onChange={setRange} />}>
            <Timeline activity={activity} />
          </Panel>
          <Panel title="What it did" pad={false}>
            {activity.events.isPending ? (
              <Loading label="Loading events" />
            ) : (
              <LatestEvents events={activity.latest} search={{ ip: p.ip }} show="account" />
            )}
          </Panel>
          {p.sessions.length > 0 && (
            <Panel
              title="Sessions"
              pad={false}
              aside={
                p.sessions.length > 8 && (
                  <Anchor component={Link} to="/sessions" search={{ ip: p.ip } as never} size="sm">
                    All sessions
                  </Anchor>
                )
              }
            >
              <SessionTable rows={p.sessions.slice(0, 8)} without="ip" />
            </Panel>
          )}
        </Stack>
        <Stack gap="lg">
          <Panel title="Accounts tried" aside={<Sample all={activity.all} />}>
            <Tallied
              events={activity.latest}
              by={(e) => (e.account ? `${e.realm ?? ""} ${e.account}` : undefined)}
              show={(_, e) => <AccountLink account={e.account} realm={e.realm} />}
              none="It named no account in this time."
            />
          </Panel>
          <Panel title="Agents" aside={<Sample all={activity.all} />}>
            <Tallied
              events={activity.latest}
              by={(e) => e.user_agent || undefined}
              show={(agent) => (
                <Text size="sm" lineClamp={2} className="breakable">
                  {agent}
                </Text>
              )}
              none="It named no agent in this time."
              top={5}
            />
          </Panel>
          <Panel title="Blocks">
            <BlockList blocks={p.blocks} none="It was never blocked." />
          </Panel>
          <Panel title="Why is it decided so?">
            <Stack gap="md">
              <Why why={p.why} />
              <Counters counters={p.why.counters} />
            </Stack>
          </Panel>
          <Panel title="Notes">
            <Notes on={`ip:${p.ip}`} about={p.ip} />
          </Panel>
        </Stack>
      </div>
    </Page>
  );
}

import { Anchor, Badge, Box, Button, Group, Progress, Stack, Table, Text, Tooltip } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { api, data } from "@/api/client";
import { Band } from "@/components/Band";
import { type Column, DataTable } from "@/components/DataTable";
import { Facts } from "@/components/Facts";
import { Loading, ProblemAlert } from "@/components/Feedback";
import { Page, Panel } from "@/components/Page";
import { When } from "@/components/When";
import { type Asker, kinds, meaning, outcomes, type Site, states } from "@/lib/sites";
import { Guide, NoSites } from "./sites/Guide";

const count = (n: number) => n.toLocaleString("en");

/** What stands before the applications: whether it works, what it sees, and what it refuses. */
export default function Sites() {
  const list = useQuery({
    queryKey: ["sites"],
    queryFn: () => data(api.GET("/v1/sites")),
    refetchInterval: 5_000,
  });
  const [guide, setGuide] = useState(false);
  const empty = list.data?.items.length === 0 && list.data.proxies.length === 0;
  return (
    <Page
      title="Sites"
      about={
        <>
          What stands before your applications: the gate, which passes requests on and reads how sign-ins end,
          and other proxies that ask Warder whom to refuse.
          {list.data && (
            <>
              {" "}
              Counted since Warder started, <When at={list.data.since} inline />.
            </>
          )}
        </>
      }
      actions={
        list.data &&
        !empty && (
          <Button
            size="sm"
            variant="default"
            leftSection={<IconPlus size={15} />}
            aria-expanded={guide}
            onClick={() => setGuide(!guide)}
          >
            Guard another application
          </Button>
        )
      }
    >
      {list.error && !list.data ? (
        <ProblemAlert error={list.error} retry={list.refetch} />
      ) : !list.data ? (
        <Loading label="Loading sites" />
      ) : empty ? (
        <NoSites />
      ) : (
        <>
          {guide && (
            <Panel title="Guard another application">
              <Guide />
            </Panel>
          )}
          {list.data.items.map((s) => (
            <SitePanel key={s.name} site={s} />
          ))}
          {list.data.proxies.length > 0 && <Proxies list={list.data.proxies} />}
        </>
      )}
    </Page>
  );
}

function State({ state, enforcesOnly }: { state: string; enforcesOnly?: boolean }) {
  const look = states[state];
  return (
    <Badge variant="light" color={look?.color} tt="none">
      {enforcesOnly && state === "ok" ? "outcomes are reported" : (look?.word ?? state)}
    </Badge>
  );
}

function SitePanel({ site: s }: { site: Site }) {
  const look = states[s.state];
  const says = meaning(s.state);
  const events = { app: `gate:${s.name}` };
  return (
    <Panel
      title={
        <Group gap="sm" component="span">
          {s.name}
          <State state={s.state} />
        </Group>
      }
      aside={
        <Anchor component={Link} to="/events" search={events as never} size="sm">
          Events of this site
        </Anchor>
      }
    >
      <Stack gap="md" pt={4}>
        {says && (
          <Band
            tone={look?.tone ?? "hint"}
            says={says}
            todo={s.remedy}
            why={
              s.unanswered && (
                <>
                  No answer <When at={s.unanswered} inline />.
                </>
              )
            }
          />
        )}
        <Facts
          min={112}
          large
          items={[
            ["Requests", count(s.requests)],
            ["Refused", count(s.refused)],
            ["Sign-ins", count(s.attempts)],
            ["Succeeded", count(s.success)],
            ["Failed", count(s.failure)],
            ["Without outcome", count(s.errors)],
            ["Open now", count(s.open)],
          ]}
        />
        <Box className="two-columns">
          <Matches site={s} />
          <About site={s} />
        </Box>
      </Stack>
    </Panel>
  );
}

function About({ site: s }: { site: Site }) {
  return (
    <Facts
      min={170}
      items={[
        ["Listens on", `${s.listen}${s.tls ? ", TLS" : ""}`],
        ["Application", s.upstream],
        ["Profile", <Profile key="p" site={s} />],
        ["While Warder cannot guard", s.on_failure === "open" ? "lets sign-ins through" : "refuses sign-ins"],
        ["Last outcome", s.last_outcome ? <When key="o" at={s.last_outcome} /> : "none yet"],
        ["Outcome known", outcomes(s)],
      ]}
    />
  );
}

function Profile({ site: s }: { site: Site }) {
  return (
    <Group gap={6}>
      {s.profile}
      <Tooltip
        label={
          s.verified
            ? "This profile was run against the product that it is for."
            : "Nobody ran this profile against the product: see that sign-ins succeed and fail here as they should."
        }
      >
        <Badge size="sm" variant="light" color={s.verified ? "teal" : "yellow"} tt="none" tabIndex={0}>
          {s.verified ? "verified" : "unverified"}
        </Badge>
      </Tooltip>
    </Group>
  );
}

/** What the profile recognised: an endpoint that nobody reaches is named wrongly, or unused. */
function Matches({ site: s }: { site: Site }) {
  const most = Math.max(1, ...s.matches.map((m) => m.count));
  return (
    <Table aria-label={`What the profile of ${s.name} recognised`} className="plain" layout="fixed">
      <Table.Thead>
        <Table.Tr>
          <Table.Th>
            <Text span size="xs" c="dimmed" fw={600}>
              Recognised by the profile
            </Text>
          </Table.Th>
          <Table.Th className="numeric" w={130}>
            <Text span size="xs" c="dimmed" fw={600}>
              Requests
            </Text>
          </Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {s.matches.map((m) => (
          <Table.Tr key={m.kind}>
            <Table.Td>
              <Text size="sm">{kinds[m.kind] ?? m.kind}</Text>
              <Tooltip label={m.paths.join("  ")} disabled={m.paths.join("  ").length < 40}>
                <Text size="xs" c="dimmed" className="mono one-line" tabIndex={0}>
                  {m.paths.join("  ")}
                </Text>
              </Tooltip>
            </Table.Td>
            <Table.Td className="numeric">
              <Text size="sm" c={m.count > 0 ? undefined : "dimmed"}>
                {m.count > 0 ? count(m.count) : "none"}
              </Text>
              <Progress value={(100 * m.count) / most} size={4} mt={4} aria-hidden />
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

const proxyColumns: Column<Asker>[] = [
  {
    key: "name",
    title: "Who asks",
    cell: (p) => (
      <Stack gap={0}>
        <Text size="sm" className={p.kind === "proxy" ? "mono breakable" : "breakable"}>
          {p.name}
        </Text>
        <Text size="xs" c="dimmed">
          {p.kind === "key" ? "application, by its API key" : "trusted proxy"}
        </Text>
      </Stack>
    ),
  },
  {
    key: "state",
    title: "State",
    width: 230,
    cell: (p) => <State state={p.state} enforcesOnly />,
  },
  { key: "checks", title: "Checks", numeric: true, width: 90, cell: (p) => count(p.checks) },
  { key: "refused", title: "Refused", numeric: true, width: 90, cell: (p) => count(p.refused) },
  {
    key: "unclear",
    title: "Unclear",
    numeric: true,
    width: 90,
    cell: (p) =>
      p.unclear > 0 ? (
        <Tooltip
          multiline
          maw={320}
          label="Refused because the proxy did not say who the client is, or which request it asks about: see the guide for this proxy."
        >
          <Text span size="sm" c="var(--severity-warning-text)" tabIndex={0}>
            {count(p.unclear)}
          </Text>
        </Tooltip>
      ) : (
        "0"
      ),
  },
  { key: "last", title: "Last asked", width: 130, cell: (p) => <When at={p.last_check} /> },
  {
    key: "outcome",
    title: "Last outcome reported",
    width: 170,
    cell: (p) =>
      p.last_outcome ? (
        <Stack gap={0}>
          <When at={p.last_outcome} />
          {p.reporter && (
            <Text size="xs" c="dimmed" className="breakable">
              by {p.reporter}
            </Text>
          )}
        </Stack>
      ) : (
        <Text size="sm" c="dimmed">
          never
        </Text>
      ),
  },
];

/** Those that ask forward auth: they enforce, and see no outcome. */
function Proxies({ list }: { list: Asker[] }) {
  const silent = list.filter((p) => p.state === "no_outcome");
  const waiting = list.filter((p) => p.state === "waiting");
  const one = silent[0] ?? waiting[0];
  return (
    <Stack gap="sm">
      {one && (
        <Band
          tone={states[one.state]?.tone ?? "hint"}
          says={meaning(one.state, true)}
          why={`Concerns ${(silent.length > 0 ? silent : waiting).map((p) => p.name).join(", ")}.`}
          todo={one.remedy}
        />
      )}
      <Panel title="Forward auth: enforces only" pad={false}>
        <DataTable
          label="who asks forward auth"
          columns={proxyColumns}
          rows={list}
          id={(p) => p.key ?? p.name}
          minWidth={900}
        />
      </Panel>
    </Stack>
  );
}

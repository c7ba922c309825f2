import {
  Alert,
  Badge,
  Button,
  Drawer,
  Group,
  SegmentedControl,
  SimpleGrid,
  Stack,
  Table,
  Text,
} from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, data, type Schemas } from "@/api/client";
import { DataTable } from "@/components/DataTable";
import { Empty, Loading, ProblemAlert } from "@/components/Feedback";
import { AccountLink, AddressLink } from "@/components/Links";
import { When } from "@/components/When";
import { inWords } from "@/lib/duration";
import { plural } from "@/lib/words";
import { type Doc, same } from "./draft";
import { actionWords, modeWords } from "./words";

type Replay = Schemas["Preview"];

const usePreview = (doc: Doc, days: number, enabled: boolean) =>
  useQuery({
    queryKey: ["policy-preview", days, JSON.stringify(doc)],
    queryFn: () => data(api.POST("/v1/policy/preview", { params: { query: { days } }, body: doc as never })),
    enabled,
    staleTime: 300_000,
    gcTime: 300_000,
    refetchOnWindowFocus: false,
  });

/** What the draft would have done to the last days, beside what the policy in force would have. */
export function PreviewDrawer(props: { opened: boolean; onClose: () => void; draft: Doc; inForce: Doc }) {
  return (
    <Drawer
      opened={props.opened}
      onClose={props.onClose}
      position="right"
      size="xl"
      padding="lg"
      title={
        <Text fw={650} fz="lg">
          What would it have done?
        </Text>
      }
      closeButtonProps={{ "aria-label": "Close the preview" }}
    >
      {props.opened && <PreviewBody draft={props.draft} inForce={props.inForce} />}
    </Drawer>
  );
}

function PreviewBody({ draft, inForce }: { draft: Doc; inForce: Doc }) {
  const [days, setDays] = useState("7");
  const changed = !same(draft, inForce);
  const mine = usePreview(draft, Number(days), true);
  const now = usePreview(inForce, Number(days), changed && mine.isSuccess);
  return (
    <Stack gap="md">
      <Text size="sm" c="dimmed">
        The events that are kept, played through the draft from the beginning. Providers, the previous
        criteria check and locations are not part of it.
      </Text>
      <SegmentedControl
        aria-label="How far back"
        value={days}
        onChange={setDays}
        data={["1", "7", "30", "90"].map((d) => ({ value: d, label: d === "1" ? "24 hours" : `${d} days` }))}
        style={{ alignSelf: "flex-start" }}
      />
      {mine.error ? (
        <ProblemAlert error={mine.error} retry={mine.refetch} />
      ) : !mine.data ? (
        <Loading label="Playing the events through" />
      ) : (
        <Result mine={mine.data} now={changed ? now.data : undefined} changed={changed} days={days} />
      )}
    </Stack>
  );
}

function Result({
  mine,
  now,
  changed,
  days,
}: {
  mine: Replay;
  now?: Replay;
  changed: boolean;
  days: string;
}) {
  if (mine.events === 0) {
    return (
      <Empty title="Nothing to play through">
        No events in the last {days === "1" ? "24 hours" : `${days} days`}.
      </Empty>
    );
  }
  const tiles: [string, number, number | undefined, string?][] = [
    ["Blocks", mine.blocks, now?.blocks],
    ["Addresses blocked", mine.addresses_blocked, now?.addresses_blocked],
    ["CAPTCHA or MFA asked", mine.demands, now?.demands],
    ["Sessions ended", mine.sessions_revoked, now?.sessions_revoked],
    ["Only observed", mine.observed, now?.observed],
    ["Spared: own addresses", mine.spared, now?.spared],
  ];
  const before = new Map((now?.rules ?? []).map((r) => [r.rule, r.crossings]));
  return (
    <Stack gap="md">
      <Alert
        color={mine.sign_ins_refused > 0 ? "orange" : "warder"}
        variant="light"
        title={
          mine.sign_ins_refused > 0
            ? `${plural(mine.sign_ins_refused, "good sign-in")} of ${plural(mine.accounts_refused, "account")} would have been refused`
            : "No good sign-in would have been refused"
        }
      >
        <Text size="sm">
          {now && `The policy in force: ${plural(now.sign_ins_refused, "good sign-in")} refused. `}
          {plural(mine.events, "event")} played through.
          {!mine.complete && " There were more than a preview plays: this is the beginning of the time only."}
        </Text>
      </Alert>
      <SimpleGrid cols={{ base: 2, sm: 3 }} spacing="xs">
        {tiles.map(([label, n, was]) => (
          <div
            key={label}
            className="surface"
            style={{ borderRadius: "var(--mantine-radius-md)", padding: "10px 14px" }}
          >
            <Text size="xs" c="dimmed">
              {label}
            </Text>
            <Group gap={8} align="baseline">
              <Text fw={650} fz={22}>
                {n.toLocaleString("en")}
              </Text>
              {was !== undefined && (
                <Text size="xs" c="dimmed">
                  {was === n ? "as now" : `now ${was.toLocaleString("en")}`}
                </Text>
              )}
            </Group>
          </div>
        ))}
      </SimpleGrid>
      <Table aria-label="By rule" verticalSpacing={6}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Rule</Table.Th>
            <Table.Th>Does</Table.Th>
            <Table.Th className="numeric">Reached</Table.Th>
            {changed && <Table.Th className="numeric">In force</Table.Th>}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {mine.rules.map((r) => (
            <Table.Tr key={r.rule}>
              <Table.Td className="breakable">{r.rule}</Table.Td>
              <Table.Td>
                {actionWords[r.action]}
                {r.mode !== "enforce" && (
                  <Text span size="xs" c="dimmed">
                    {" "}
                    {modeWords[r.mode].toLowerCase()}
                  </Text>
                )}
              </Table.Td>
              <Table.Td className="numeric">{r.crossings.toLocaleString("en")}</Table.Td>
              {changed && (
                <Table.Td className="numeric">
                  {now ? (before.get(r.rule)?.toLocaleString("en") ?? "new") : "…"}
                </Table.Td>
              )}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {mine.crossings.length > 0 && <Crossings list={mine.crossings} />}
    </Stack>
  );
}

function Crossings({ list }: { list: Replay["crossings"] }) {
  const [shown, setShown] = useState(20);
  return (
    <Stack gap="xs">
      <Text fw={600} size="sm">
        The first {list.length === 1 ? "one" : list.length}
      </Text>
      <DataTable
        label="What the draft would have done"
        rows={list.slice(0, shown)}
        id={(c) => `${c.event} ${c.rule}`}
        minWidth={560}
        columns={[
          { key: "time", title: "When", cell: (c) => <When at={c.time} /> },
          { key: "rule", title: "Rule", cell: (c) => <Text size="sm">{c.rule}</Text> },
          {
            key: "subject",
            title: "Whom",
            cell: (c) =>
              c.ip ? (
                <AddressLink ip={c.ip} />
              ) : c.account ? (
                <AccountLink account={c.account} realm={c.realm} />
              ) : (
                <Text size="sm" className="mono breakable">
                  {c.session ?? c.realm}
                </Text>
              ),
          },
          {
            key: "what",
            title: "What",
            cell: (c) => (
              <Group gap={6}>
                <Text size="sm">
                  {c.spared
                    ? "Spared: own address"
                    : `${actionWords[c.action]} ${c.duration ? inWords(c.duration) : "until lifted"}`}
                </Text>
                {c.observed && (
                  <Badge size="xs" variant="light" color="gray" tt="none">
                    observed
                  </Badge>
                )}
              </Group>
            ),
          },
        ]}
      />
      {shown < list.length && (
        <Button
          variant="default"
          size="xs"
          onClick={() => setShown(list.length)}
          style={{ alignSelf: "center" }}
        >
          Show all {list.length}
        </Button>
      )}
    </Stack>
  );
}

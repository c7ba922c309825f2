import { Anchor, Box, Button, Code, Drawer, Group, Stack, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { api, data } from "@/api/client";
import { BlockState, Reviewed } from "@/components/BlockState";
import { EventName, reasonWords } from "@/components/EventParts";
import { Facts } from "@/components/Facts";
import { Loading, ProblemAlert } from "@/components/Feedback";
import { AccountLink, AddressLink, CopyableText } from "@/components/Links";
import { Notes } from "@/components/Notes";
import { openTrustDialog } from "@/components/TrustDialog";
import { openUnblockDialog, subjectOf } from "@/components/UnblockDialog";
import { When } from "@/components/When";
import type { Block } from "@/lib/blocks";
import { addressOf, hasPage } from "@/lib/ip";
import { useMe } from "@/lib/me";
import { crossing, endOf, sources } from "@/lib/report";
import { person } from "@/lib/words";
import { ReviewButton } from "./Review";

/** Everything about one block, beside the list it stands in. */
export function BlockDrawer({ id, close }: { id: string | undefined; close: () => void }) {
  const block = useQuery({
    queryKey: ["blocks", "one", id],
    queryFn: () => data<Block>(api.GET("/v1/blocks/{id}", { params: { path: { id: id ?? "" } } })),
    enabled: id !== undefined,
  });
  const b = block.data;
  return (
    <Drawer
      opened={id !== undefined}
      onClose={close}
      position="right"
      size={560}
      title={
        <Text fw={650} className="breakable">
          {b ? `Block of ${subjectOf(b)}` : "Block"}
        </Text>
      }
    >
      {block.error && !b ? (
        <ProblemAlert error={block.error} retry={() => void block.refetch()} />
      ) : b ? (
        <BlockDetail block={b} />
      ) : (
        <Loading label="Loading the block" />
      )}
    </Drawer>
  );
}

const Section = ({ title, children }: { title: string; children: ReactNode }) => (
  <Box>
    <Text component="h3" fz="sm" fw={650} m={0} mb={6}>
      {title}
    </Text>
    {children}
  </Box>
);

/** A block with its evidence, what was said about it, and what can be done. */
export function BlockDetail({ block: b, bare = false }: { block: Block; bare?: boolean }) {
  const { can } = useMe();
  const end = endOf(b);
  const evidence = b.evidence ?? [];
  const address =
    b.ip && hasPage(b.ip) ? (
      <AddressLink ip={addressOf(b.ip)} label={b.ip} />
    ) : (
      <span className="mono">{b.ip || "any"}</span>
    );
  return (
    <Stack gap="lg">
      <Group justify="space-between" align="flex-start">
        <BlockState block={b} />
        <Group gap="xs" display={bare ? "none" : undefined}>
          <ReviewButton block={b} />
          {can("admin") && b.ip && (
            <Button size="xs" variant="default" onClick={() => openTrustDialog({ ip: b.ip })}>
              Trust…
            </Button>
          )}
          {can("admin") && b.state === "active" && b.source !== "policy" && (
            <Button size="xs" onClick={() => openUnblockDialog(b)}>
              Unblock…
            </Button>
          )}
        </Group>
      </Group>
      <Facts
        items={[
          ["Address", address],
          ...(b.account
            ? ([["Account", <AccountLink key="a" account={b.account} realm={b.realm} />]] as [
                string,
                ReactNode,
              ][])
            : []),
          ...(b.session ? ([["Session", <Code key="s">{b.session}</Code>]] as [string, ReactNode][]) : []),
          ["Reference", <CopyableText key="r" value={b.reference} label="Copy the reference" />],
          ["Blocked", <When key="b" at={b.blocked_at} exactly />],
          [
            b.state === "active" || b.state === "observed" ? "Ends" : "Ended",
            end ? <When key="e" at={end} exactly /> : "when lifted",
          ],
          ["Came from", `${sources[b.source] ?? b.source}${b.by ? `, ${person(b.by)}` : ""}`],
          ["Refused", b.hits.toLocaleString("en")],
          ["Last refused", <When key="l" at={b.last_hit} />],
          ["Good accounts, 14 days", b.good_accounts_14d.toLocaleString("en")],
        ]}
      />
      {(b.reason || b.rule || b.cut) && (
        <Section title="Reason">
          {b.source !== "rule" && (
            <Text size="sm" className="breakable">
              {b.reason || "None was given."}
            </Text>
          )}
          {b.rule && (
            <Text size="sm" className="breakable">
              Rule {b.rule}
              {crossing(b) && `, ${crossing(b)}`}
              {b.event && `, crossed by ${b.event}`}
              {(b.also ?? []).length > 0 && `; also crossed: ${(b.also ?? []).join(", ")}`}
            </Text>
          )}
          {b.cut && (
            <Text size="sm" c="dimmed">
              Shorter than the rule says: {b.cut}
            </Text>
          )}
        </Section>
      )}
      {b.state === "lifted" && (
        <Section title="Lifted">
          <Text size="sm" className="breakable">
            {b.verdict === "error" ? "As a mistake" : "As resolved"} by {person(b.lifted_by)}
            {b.lift_reason ? `: ${b.lift_reason}` : "."}
          </Text>
          <When at={b.lifted_at} exactly />
        </Section>
      )}
      <Reviewed block={b} />
      {evidence.length > 0 && (
        <Section title="Evidence">
          <Table.ScrollContainer minWidth={420}>
            <Table verticalSpacing={4} fz="xs" className="plain" aria-label="Events that led to it">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>Time</Table.Th>
                  <Table.Th>Event</Table.Th>
                  <Table.Th>Account</Table.Th>
                  <Table.Th>Reason</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {evidence.map((e) => (
                  <Table.Tr key={e.seq}>
                    <Table.Td>
                      <When at={e.time} dim />
                    </Table.Td>
                    <Table.Td className="breakable">
                      <Anchor component={Link} to="/events" search={{ event: e.id } as never} fz="xs">
                        <EventName name={e.name} />
                      </Anchor>
                    </Table.Td>
                    <Table.Td className="breakable">{e.account ?? "–"}</Table.Td>
                    <Table.Td className="breakable">{e.reason ? reasonWords(e.reason) : "–"}</Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
        </Section>
      )}
      <Section title="Notes">
        {b.note && (
          <Text size="sm" className="breakable" mb="xs">
            {b.note}
          </Text>
        )}
        <Notes on={`block:${b.id}`} about="this block" />
      </Section>
    </Stack>
  );
}

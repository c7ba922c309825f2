import {
  Alert,
  Badge,
  Box,
  Button,
  Group,
  Modal,
  SimpleGrid,
  Stack,
  Switch,
  Table,
  Text,
  TextInput,
} from "@mantine/core";
import { modals } from "@mantine/modals";
import { IconAdjustments, IconPlus, IconRefresh, IconRss } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, data, Problem, type Schemas } from "@/api/client";
import { Empty, Loading, notifyDone, ProblemAlert } from "@/components/Feedback";
import { Page, Panel } from "@/components/Page";
import { When } from "@/components/When";
import { inWords } from "@/lib/duration";
import { faultAt, faultsOf } from "@/lib/faults";
import { useMe } from "@/lib/me";
import { plural } from "@/lib/words";
import { type Doc, type DraftProvider, fromProvider, toProvider } from "./policy/draft";
import { newProvider, ProviderForm } from "./policy/ProviderForm";
import { putPolicy, usePolicyInForce } from "./policy/queries";
import { actionWords } from "./policy/words";

type Provider = Schemas["ProviderView"];

/** Public lists of attackers: what they hold, how they are, and what they lead to. */
export default function Providers() {
  const { can } = useMe();
  const list = useQuery({
    queryKey: ["providers"],
    queryFn: () => data(api.GET("/v1/providers")),
    refetchInterval: 30_000,
  });
  const policy = usePolicyInForce();
  const [editing, setEditing] = useState<DraftProvider>();
  const may = can("admin") && policy.data?.readOnly === false;
  return (
    <Page
      title="Providers"
      about="External lists of addresses that attack others. They act before anything happened here; trusted addresses always pass."
      actions={
        may && (
          <Button
            size="sm"
            variant="default"
            leftSection={<IconPlus size={15} />}
            onClick={() => setEditing(newProvider(list.data?.items ?? []))}
          >
            Add a provider
          </Button>
        )
      }
    >
      {list.error && !list.data ? (
        <ProblemAlert error={list.error} retry={list.refetch} />
      ) : !list.data ? (
        <Loading label="Loading providers" />
      ) : list.data.items.length === 0 ? (
        <Panel>
          <Empty icon={<IconRss />} title="No provider yet">
            <Stack gap="sm" align="center">
              IPsum joins thirty public lists of attackers and is made new every day, free for everybody.
              {may && (
                <Button size="sm" onClick={() => setEditing(newProvider([]))}>
                  Switch on IPsum
                </Button>
              )}
            </Stack>
          </Empty>
        </Panel>
      ) : (
        list.data.items.map((p) => (
          <ProviderPanel
            key={p.name}
            provider={p}
            may={may}
            edit={() => {
              const spec = policy.data?.doc.providers?.find((x) => x.name === p.name);
              if (spec) setEditing(fromProvider(spec));
            }}
          />
        ))
      )}
      <ProviderDialog
        editing={editing}
        known={(list.data?.items ?? []).map((p) => p.name)}
        onClose={() => setEditing(undefined)}
      />
    </Page>
  );
}

/** Changes one provider in the policy that is in force now, and nothing else. */
function useChangeProvider() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (change: {
      provider?: DraftProvider;
      name: string;
      enabled?: boolean;
      comment: string;
    }) => {
      const { data: doc, response } = await api.GET("/v1/policy");
      const next = structuredClone(doc as unknown as Doc);
      const providers = next.providers ?? [];
      const at = providers.findIndex((p) => p.name === change.name);
      const before = providers[at];
      const spec = change.provider
        ? toProvider(change.provider)
        : before && { ...before, enabled: change.enabled ?? before.enabled };
      if (!spec)
        throw new Problem(404, { title: "The provider is gone", detail: "Somebody deleted it meanwhile." });
      if (at < 0) providers.push(spec);
      else providers[at] = spec;
      next.providers = providers;
      // The place of the provider in the document, to find its faults.
      const place = `providers[${at < 0 ? providers.length - 1 : at}]`;
      try {
        return await putPolicy(next, response.headers.get("ETag") ?? "", change.comment);
      } catch (e) {
        if (!(e instanceof Problem)) throw e;
        const own = e.faults.map((f) => ({
          ...f,
          location: f.location?.replace(/^body\./, "").replace(`${place}.`, ""),
        }));
        throw new Problem(e.status, { title: e.title, detail: e.message, errors: own });
      }
    },
    onSuccess: async () => {
      for (const key of ["policy", "providers", "status"])
        await queries.invalidateQueries({ queryKey: [key] });
    },
  });
}

function ProviderDialog(props: { editing?: DraftProvider; known: string[]; onClose: () => void }) {
  const [form, setForm] = useState<DraftProvider>();
  const [comment, setComment] = useState("");
  const change = useChangeProvider();
  if (props.editing && form?.uid !== props.editing.uid) {
    setForm(props.editing);
    setComment("");
    change.reset();
  }
  const fresh = props.editing !== undefined && !props.known.includes(props.editing.name);
  const faults = faultsOf(change.error);
  const known = ["name", "url", "format", "refresh", "levels"].some((f) => faultAt(faults, f));
  return (
    <Modal
      opened={props.editing !== undefined}
      onClose={props.onClose}
      title={fresh ? "Add a provider" : `Provider ${form?.name ?? ""}`}
      size="lg"
    >
      {form && (
        <form
          onSubmit={(e) => {
            e.preventDefault();
            change.mutate(
              { provider: form, name: form.name, comment: comment.trim() },
              {
                onSuccess: () => {
                  props.onClose();
                  notifyDone(`Provider ${form.name} is saved. Its list is fetched now.`);
                },
              },
            );
          }}
        >
          <Stack gap="md">
            <ProviderForm
              provider={form}
              named={fresh}
              onChange={setForm}
              fault={(name) => faultAt(faults, name)}
              readOnly={false}
            />
            <TextInput
              label="Why"
              description="For whoever reads the revisions of the policy later."
              value={comment}
              onChange={(e) => setComment(e.currentTarget.value)}
              maxLength={500}
            />
            {!known && <ProblemAlert error={change.error} />}
            <Group justify="flex-end">
              <Button variant="default" onClick={props.onClose}>
                Cancel
              </Button>
              <Button type="submit" loading={change.isPending}>
                {fresh ? "Add and switch on" : "Save"}
              </Button>
            </Group>
          </Stack>
        </form>
      )}
    </Modal>
  );
}

function state(p: Provider): { word: string; color: string } {
  const s = p.status;
  if (!p.enabled) return { word: "off", color: "gray" };
  if (!s || (!s.loaded_at && !s.last_error)) return { word: "being fetched", color: "gray" };
  if (s.held) return { word: "held back", color: "orange" };
  if (s.expired) return { word: "out of date, not in force", color: "red" };
  if (s.last_error) return { word: s.entries > 0 ? "last fetch failed" : "failed", color: "red" };
  if (s.stale) return { word: "nothing new for a week", color: "yellow" };
  return { word: "in force", color: "warder" };
}

function ProviderPanel({ provider: p, may, edit }: { provider: Provider; may: boolean; edit: () => void }) {
  const queries = useQueryClient();
  const change = useChangeProvider();
  const [rejects, setRejects] = useState(false);
  const done = () => queries.invalidateQueries({ queryKey: ["providers"] });
  const refresh = useMutation({
    mutationFn: () => data(api.POST("/v1/providers/{name}/refresh", { params: { path: { name: p.name } } })),
    onSuccess: () => notifyDone(`The list of ${p.name} is fetched.`),
    onSettled: done,
  });
  const approve = useMutation({
    mutationFn: () => data(api.POST("/v1/providers/{name}/approve", { params: { path: { name: p.name } } })),
    onSuccess: () => notifyDone(`The list of ${p.name} is in force.`),
    onSettled: done,
  });
  const s = p.status;
  const { word, color } = state(p);
  const levels = (p.levels ?? []) as Schemas["Level"][];
  return (
    <Panel
      title={
        <Group gap="sm" component="span">
          {p.name}
          <Badge variant="light" color={color} tt="none">
            {word}
          </Badge>
        </Group>
      }
      aside={
        <Group gap="sm">
          {may && p.enabled && (
            <Button
              size="xs"
              variant="default"
              leftSection={<IconRefresh size={14} />}
              loading={refresh.isPending}
              onClick={() => refresh.mutate()}
            >
              Fetch now
            </Button>
          )}
          {may && (
            <Button size="xs" variant="default" leftSection={<IconAdjustments size={14} />} onClick={edit}>
              Change
            </Button>
          )}
          <Switch
            aria-label={`Provider ${p.name}`}
            checked={p.enabled}
            disabled={!may || change.isPending}
            onChange={(e) => {
              const enabled = e.currentTarget.checked;
              change.mutate(
                {
                  name: p.name,
                  enabled,
                  comment: `${enabled ? "switched on" : "switched off"} provider ${p.name}`,
                },
                {
                  onSuccess: () => notifyDone(`Provider ${p.name} is switched ${enabled ? "on" : "off"}.`),
                },
              );
            }}
          />
        </Group>
      }
    >
      <Stack gap="md">
        <ProblemAlert error={change.error ?? refresh.error ?? approve.error} />
        {s?.held && (
          <Alert color="orange" variant="light" title="A new list waits for your word">
            <Stack gap="xs" align="flex-start">
              <Text size="sm">
                {s.held.reason}. It holds {s.held.entries.toLocaleString("en")} addresses:{" "}
                {s.held.added.toLocaleString("en")} new, {s.held.removed.toLocaleString("en")} gone. The list
                before it stays in force meanwhile. Waiting since <When at={s.held.since} />
              </Text>
              {may && (
                <Button
                  size="xs"
                  loading={approve.isPending}
                  onClick={() =>
                    modals.openConfirmModal({
                      title: `Put the new list of ${p.name} in force?`,
                      children: (
                        <Text size="sm">
                          It was held back because it differs much from the one before. A list that was
                          tampered with or cut short looks like this.
                        </Text>
                      ),
                      labels: { confirm: "Put it in force", cancel: "Cancel" },
                      onConfirm: () => approve.mutate(),
                    })
                  }
                >
                  Approve the list
                </Button>
              )}
            </Stack>
          </Alert>
        )}
        {s?.last_error && (
          <Alert color="red" variant="light" title="The last fetch failed">
            <Text size="sm" className="mono breakable">
              {s.last_error}
            </Text>
            {s.entries > 0 && (
              <Text size="sm" mt={4}>
                The last good list stays in force.
              </Text>
            )}
          </Alert>
        )}
        <SimpleGrid cols={{ base: 2, sm: 4 }} spacing="md">
          <Figure label="Addresses in force">{p.enabled && s ? s.entries.toLocaleString("en") : "–"}</Figure>
          <Figure label="Made by its publisher">
            <When at={s?.upstream_date} />
          </Figure>
          <Figure label="Last answer">
            <When at={s?.checked_at} />
          </Figure>
          <Figure label="Next fetch">
            <When at={p.enabled ? s?.next_at : undefined} />
          </Figure>
        </SimpleGrid>
        <Group gap="lg" align="flex-start">
          <Box>
            <Text size="xs" c="dimmed">
              What it leads to
            </Text>
            {levels.map((l) => (
              <Text size="sm" key={l.at_least}>
                On {plural(l.at_least, "list")} or more: <b>{actionWords[l.action]}</b>
              </Text>
            ))}
          </Box>
          <Box flex={1} miw={220}>
            <Text size="xs" c="dimmed">
              Source{p.refresh ? `, fetched every ${inWords(p.refresh).replace(/^1 /, "")}` : ""}
            </Text>
            <Text size="sm" className="mono breakable">
              {p.url}
            </Text>
          </Box>
        </Group>
        {s && s.rejected > 0 && (
          <Box>
            <Button
              size="compact-sm"
              variant="subtle"
              px={0}
              onClick={() => setRejects((r) => !r)}
              aria-expanded={rejects}
            >
              {rejects ? "Hide" : "Show"} {plural(s.rejected, "line")} that{" "}
              {s.rejected === 1 ? "was" : "were"} not taken
            </Button>
            {rejects && (
              <Stack gap="xs" mt="xs">
                <Group gap="xs">
                  {Object.entries(s.reasons ?? {}).map(([reason, n]) => (
                    <Badge key={reason} variant="light" color="gray" tt="none">
                      {reason}: {n.toLocaleString("en")}
                    </Badge>
                  ))}
                </Group>
                <Table verticalSpacing={4} aria-label="Lines that were not taken">
                  <Table.Thead>
                    <Table.Tr>
                      <Table.Th w={100}>Line</Table.Th>
                      <Table.Th>Why</Table.Th>
                    </Table.Tr>
                  </Table.Thead>
                  <Table.Tbody>
                    {s.rejects.map((r) => (
                      <Table.Tr key={`${r.line} ${r.reason}`}>
                        <Table.Td>{r.line}</Table.Td>
                        <Table.Td className="breakable">{r.reason}</Table.Td>
                      </Table.Tr>
                    ))}
                  </Table.Tbody>
                </Table>
              </Stack>
            )}
          </Box>
        )}
      </Stack>
    </Panel>
  );
}

function Figure({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <Box>
      <Text size="xs" c="dimmed">
        {label}
      </Text>
      <Text component="div" fw={600} fz="md">
        {children}
      </Text>
    </Box>
  );
}

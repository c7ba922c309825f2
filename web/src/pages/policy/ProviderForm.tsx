import { ActionIcon, Box, Group, NumberInput, Stack, Switch, Text, TextInput } from "@mantine/core";
import { IconTrash } from "@tabler/icons-react";
import { AddButton } from "@/components/AddButton";
import { DurationInput } from "@/components/DurationInput";
import { Panel } from "@/components/Page";
import { ActionPicker } from "./ActionPicker";
import { useEdit } from "./context";
import { type DraftLevel, type DraftProvider, freeId, uid } from "./draft";

/** Where a list comes from, how often it is fetched, and what its levels lead to. */
export function ProviderForm(props: {
  provider: DraftProvider;
  onChange: (p: DraftProvider) => void;
  fault: (name: string) => string | undefined;
  readOnly: boolean;
  named?: boolean;
}) {
  const { provider: p, fault, readOnly } = props;
  const set = (change: Partial<DraftProvider>) => props.onChange({ ...p, ...change });
  const setLevel = (id: string, change: Partial<DraftLevel>) =>
    set({ levels: p.levels.map((l) => (l.uid === id ? { ...l, ...change } : l)) });
  return (
    <Stack gap="md">
      <Group gap="md" align="flex-start">
        {props.named && (
          <TextInput
            label="Name"
            description="As pages and reports call it."
            value={p.name}
            onChange={(e) => set({ name: e.currentTarget.value })}
            error={fault("name")}
            disabled={readOnly}
            w={220}
          />
        )}
        <TextInput
          label="Source"
          description="An https address or the path of a file, in the format of IPsum."
          value={p.url}
          onChange={(e) => set({ url: e.currentTarget.value })}
          error={fault("url") ?? fault("format")}
          disabled={readOnly}
          flex={1}
          miw={260}
          classNames={{ input: "mono" }}
          spellCheck={false}
        />
        <DurationInput
          label="Fetched every"
          description="Not more often than hourly."
          value={p.refresh}
          onChange={(refresh) => set({ refresh })}
          error={fault("refresh")}
          disabled={readOnly}
          min={1}
        />
      </Group>
      <Stack gap="xs">
        <Text size="sm" fw={600}>
          Levels
        </Text>
        <Text size="xs" c="dimmed" maw={640}>
          A level is the number of public lists that name an address. 3 is a sound beginning for a CAPTCHA, 5
          for a block. Lists also name shared addresses: a block here refuses everybody behind them.
        </Text>
        {fault("levels") && !fault("levels")?.startsWith("Entry") && (
          <Text size="xs" c="var(--mantine-color-error)">
            {fault("levels")}
          </Text>
        )}
        {p.levels.map((l, i) => (
          <Group key={l.uid} gap="sm" align="flex-start">
            <NumberInput
              label={i === 0 ? "At least (lists)" : undefined}
              aria-label={`Level ${i + 1}: on at least this many lists`}
              value={l.at_least ?? ""}
              onChange={(n) => setLevel(l.uid, { at_least: typeof n === "number" ? n : undefined })}
              error={fault(`levels[${i}].at_least`)}
              disabled={readOnly}
              min={1}
              max={100}
              allowDecimal={false}
              w={190}
            />
            <ActionPicker
              label={i === 0 ? "Then" : ""}
              value={l.action}
              onChange={(action) => setLevel(l.uid, { action })}
              error={fault(`levels[${i}].action`)}
              disabled={readOnly}
            />
            <ActionIcon
              variant="subtle"
              color="gray"
              size="lg"
              mt={i === 0 ? 24 : 0}
              disabled={readOnly || p.levels.length === 1}
              aria-label={`Delete level ${i + 1}`}
              onClick={() => set({ levels: p.levels.filter((x) => x.uid !== l.uid) })}
            >
              <IconTrash size={16} />
            </ActionIcon>
          </Group>
        ))}
        {!readOnly && (
          <AddButton
            onClick={() =>
              set({
                levels: [
                  ...p.levels,
                  { uid: uid(), at_least: (p.levels.at(-1)?.at_least ?? 2) + 1, action: "block" },
                ],
              })
            }
          >
            Add a level
          </AddButton>
        )}
      </Stack>
    </Stack>
  );
}

export const ipsumSource = "https://raw.githubusercontent.com/stamparm/ipsum/master/ipsum.txt";
export const newProvider = (others: { name: string }[]): DraftProvider => ({
  uid: uid(),
  name: freeId(
    "ipsum",
    others.map((o) => ({ id: o.name })),
  ),
  enabled: true,
  url: ipsumSource,
  format: "ipsum",
  refresh: 86400,
  levels: [
    { uid: uid(), at_least: 3, action: "challenge" },
    { uid: uid(), at_least: 5, action: "block" },
  ],
});

/** External IP threat providers, as a part of the policy. */
export function ProvidersTab() {
  const { draft, update, fault, readOnly } = useEdit();
  const set = (next: (list: DraftProvider[]) => DraftProvider[]) =>
    update((d) => ({ ...d, providers: next(d.providers) }));
  return (
    <Stack gap="md">
      <Text size="sm" c="dimmed" maw={720}>
        Public lists of addresses that attack others. They refuse before anything happened here; who is
        trusted passes in any case.
      </Text>
      {draft.providers.map((p, i) => (
        <Panel
          key={p.uid}
          title={p.name || "New provider"}
          aside={
            <Group gap="sm">
              <Switch
                label="Enable"
                labelPosition="left"
                checked={p.enabled}
                onChange={(e) => {
                  const enabled = e.currentTarget.checked;
                  set((list) => list.map((x) => (x.uid === p.uid ? { ...x, enabled } : x)));
                }}
                disabled={readOnly}
              />
              {!readOnly && (
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  aria-label={`Delete provider ${p.name}`}
                  onClick={() => set((list) => list.filter((x) => x.uid !== p.uid))}
                >
                  <IconTrash size={16} />
                </ActionIcon>
              )}
            </Group>
          }
        >
          <ProviderForm
            provider={p}
            named
            onChange={(next) => set((list) => list.map((x) => (x.uid === p.uid ? next : x)))}
            fault={(name) => fault(`providers[${i}].${name}`)}
            readOnly={readOnly}
          />
        </Panel>
      ))}
      {!readOnly && (
        <Box>
          <AddButton onClick={() => set((list) => [...list, newProvider(list)])}>
            {draft.providers.length === 0 ? "Add IPsum" : "Add a provider"}
          </AddButton>
        </Box>
      )}
    </Stack>
  );
}

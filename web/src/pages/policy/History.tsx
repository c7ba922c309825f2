import { ActionIcon, Box, Group, NativeSelect, NumberInput, Stack, Switch, Text } from "@mantine/core";
import { IconTrash } from "@tabler/icons-react";
import { AddButton } from "@/components/AddButton";
import { DurationInput } from "@/components/DurationInput";
import { Panel } from "@/components/Page";
import { ActionPicker } from "./ActionPicker";
import { useEdit } from "./context";
import { type DraftCriterion, uid } from "./draft";
import { whens } from "./words";

/** Previous criteria check: what an address did before leads to a CAPTCHA, MFA or a block. */
export function History() {
  const { draft, update, fault, readOnly } = useEdit();
  const h = draft.history;
  const set = (change: Partial<typeof h>) => update((d) => ({ ...d, history: { ...d.history, ...change } }));
  const setOne = (id: string, change: Partial<DraftCriterion>) =>
    set({ criteria: h.criteria.map((c) => (c.uid === id ? { ...c, ...change } : c)) });
  return (
    <Panel
      title="Previous criteria check"
      aside={
        <Switch
          label="Enable"
          labelPosition="left"
          checked={h.enabled}
          onChange={(e) => set({ enabled: e.currentTarget.checked })}
          disabled={readOnly}
        />
      }
    >
      <Stack gap="md">
        <Text size="sm" c="dimmed" maw={720}>
          Looks at what an address did before, at every sign-in. If several conditions hold, the strongest
          answer wins: block over MFA over CAPTCHA.
        </Text>
        <DurationInput
          label="Look back"
          description="How far into the past the conditions look."
          value={h.lookback}
          onChange={(lookback) => set({ lookback })}
          error={fault("history.lookback")}
          disabled={readOnly}
        />
        <Stack gap="sm">
          {h.criteria.map((c, i) => {
            const when = whens.find((w) => w.value === c.when);
            const once = c.when === "marked_fraudulent";
            return (
              <Box
                key={c.uid}
                className="surface"
                p="sm"
                style={{ borderRadius: "var(--mantine-radius-md)" }}
              >
                <Group gap="sm" align="flex-start">
                  <NativeSelect
                    label="Condition"
                    value={c.when}
                    onChange={(e) => {
                      const value = e.currentTarget.value;
                      setOne(c.uid, {
                        when: value,
                        ...(value === "marked_fraudulent" ? { at_least: 1 } : {}),
                      });
                    }}
                    data={whens.map(({ value, label }) => ({ value, label }))}
                    error={fault(`history.criteria[${i}].when`)}
                    disabled={readOnly}
                    w={210}
                  />
                  <NumberInput
                    label={once ? "At least" : `At least (${when?.unit ?? "times"})`}
                    value={c.at_least ?? ""}
                    onChange={(n) => setOne(c.uid, { at_least: typeof n === "number" ? n : undefined })}
                    error={fault(`history.criteria[${i}].at_least`)}
                    disabled={readOnly || once}
                    min={1}
                    allowDecimal={false}
                    w={140}
                  />
                  <ActionPicker
                    label="Then"
                    value={c.action}
                    onChange={(action) => setOne(c.uid, { action })}
                    error={fault(`history.criteria[${i}].action`)}
                    disabled={readOnly}
                  />
                  <ActionIcon
                    ml="auto"
                    variant="subtle"
                    color="gray"
                    size="lg"
                    mt={24}
                    disabled={readOnly}
                    aria-label={`Delete condition ${when?.label ?? c.when}`}
                    onClick={() => set({ criteria: h.criteria.filter((x) => x.uid !== c.uid) })}
                  >
                    <IconTrash size={16} />
                  </ActionIcon>
                </Group>
                {when && (
                  <Text size="xs" c="dimmed" mt={6}>
                    {when.about}
                  </Text>
                )}
              </Box>
            );
          })}
          {h.criteria.length === 0 && (
            <Text size="sm" c="dimmed">
              No conditions: nothing that happened before leads to anything.
            </Text>
          )}
        </Stack>
        {!readOnly && (
          <AddButton
            onClick={() =>
              set({
                criteria: [
                  ...h.criteria,
                  { uid: uid(), when: "failures", at_least: 20, action: "challenge" },
                ],
              })
            }
          >
            Add a condition
          </AddButton>
        )}
      </Stack>
    </Panel>
  );
}

import { Badge, Button, Card, Group, List, Modal, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { useState } from "react";
import { DiffView } from "@/components/DiffView";
import { Loading, ProblemAlert } from "@/components/Feedback";
import { useEdit } from "./context";
import { type Doc, modeOf, same, toDocument, withPreset } from "./draft";
import { usePolicyCheck, usePresets } from "./queries";
import { changes, modeWords } from "./words";

export const presetWords: Record<string, { title: string; about: string }> = {
  classic: {
    title: "Classic",
    about:
      "Five failures in an hour from one address, and it is blocked until somebody lifts the block. Honest mistakes are taken out first.",
  },
  observe: {
    title: "Observe",
    about:
      "The rules of Classic, but nobody is refused. Look at what would have happened for a day, then enforce.",
  },
  balanced: {
    title: "Balanced",
    about:
      "A CAPTCHA first, MFA for accounts under fire, and blocks that grow from a quarter of an hour to a week. For applications that can ask for a CAPTCHA or MFA.",
  },
  strict: {
    title: "Strict",
    about:
      "Balanced with half the patience. For platforms whose users are few and known; expect more CAPTCHAs where many people share an address.",
  },
};

/** What a preset does at a glance. */
export function presetFacts(doc: Doc): string[] {
  const rules = (doc.activity.rules ?? []).filter((r) => r.enabled);
  const blocks = rules.filter((r) => r.action === "block").length;
  const asks = rules.length - blocks;
  return [
    `${modeWords[modeOf(doc)]} mode`,
    `${rules.length} rules: ${blocks} block${asks > 0 ? `, ${asks} ask for a CAPTCHA or MFA` : ""}`,
    doc.history.enabled ? "Previous criteria check on" : "Previous criteria check off",
  ];
}

/** Ready-made policies to begin from. */
export function Presets() {
  const { draft, update, readOnly } = useEdit();
  const presets = usePresets();
  const [open, setOpen] = useState<string>();
  const mine = toDocument(draft);
  if (presets.error) return <ProblemAlert error={presets.error} retry={presets.refetch} />;
  if (!presets.data) return <Loading label="Loading presets" />;
  const items = presets.data.items;
  const chosen = items.find((p) => p.name === open);
  const next = chosen && withPreset(draft, chosen.document);
  return (
    <Stack gap="md">
      <Text size="sm" c="dimmed" maw={720}>
        A preset takes the place of mode, rules and conditions. Trusted and blocked addresses and your
        providers stay. Nothing is in force until you save.
      </Text>
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="md">
        {items.map((p) => {
          const current = same(toDocument(withPreset(draft, p.document)), mine);
          return (
            <Card key={p.name} className="surface" radius="md" padding="md">
              <Stack gap="xs" h="100%">
                <Group justify="space-between">
                  <Title order={2} fz="md">
                    {presetWords[p.name]?.title ?? p.name}
                  </Title>
                  {current && (
                    <Badge variant="light" tt="none">
                      yours
                    </Badge>
                  )}
                </Group>
                <Text size="sm" c="dimmed">
                  {presetWords[p.name]?.about}
                </Text>
                <List size="sm" spacing={2}>
                  {presetFacts(p.document).map((f) => (
                    <List.Item key={f}>{f}</List.Item>
                  ))}
                </List>
                <Button
                  mt="auto"
                  size="xs"
                  variant="default"
                  style={{ alignSelf: "flex-start" }}
                  onClick={() => setOpen(p.name)}
                  disabled={current}
                >
                  Compare with yours
                </Button>
              </Stack>
            </Card>
          );
        })}
      </SimpleGrid>
      <Modal
        opened={chosen !== undefined}
        onClose={() => setOpen(undefined)}
        title={`From your policy to ${presetWords[open ?? ""]?.title ?? open}`}
        size="xl"
      >
        {chosen && next && (
          <Comparison before={mine} after={toDocument(next)}>
            <Button variant="default" onClick={() => setOpen(undefined)}>
              Close
            </Button>
            {!readOnly && (
              <Button
                onClick={() => {
                  update(() => next);
                  setOpen(undefined);
                }}
              >
                Take it into the draft
              </Button>
            )}
          </Comparison>
        )}
      </Modal>
    </Stack>
  );
}

function Comparison(props: { before: Doc; after: Doc; children: React.ReactNode }) {
  const before = usePolicyCheck(props.before);
  const after = usePolicyCheck(props.after);
  const list = changes(props.before, props.after);
  return (
    <Stack gap="md">
      <List size="sm" spacing={4}>
        {list.slice(0, 40).map((c) => (
          <List.Item key={c} className="breakable">
            {c}
          </List.Item>
        ))}
      </List>
      {before.data?.yaml && after.data?.yaml && (
        <DiffView
          before={before.data.yaml}
          after={after.data.yaml}
          label="Differences line by line"
          maxHeight="40vh"
        />
      )}
      <Group justify="flex-end">{props.children}</Group>
    </Stack>
  );
}

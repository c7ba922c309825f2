import { Alert, Button, Group, List, Stack, Tabs, Text } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { IconAlertTriangle, IconHistory, IconLock, IconPlayerPlay } from "@tabler/icons-react";
import { useBlocker } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useState } from "react";
import { Loading, ProblemAlert } from "@/components/Feedback";
import { Page } from "@/components/Page";
import { TabStrip } from "@/components/TabStrip";
import { placed } from "@/lib/faults";
import { useMe } from "@/lib/me";
import { useSearchState } from "@/lib/search";
import { plural } from "@/lib/words";
import { type Edit, EditContext } from "./policy/context";
import { type Draft, failingTests, fromDocument, modeOf, same, toDocument } from "./policy/draft";
import { FailingTests } from "./policy/FailingTests";
import { General } from "./policy/General";
import { History } from "./policy/History";
import { merge } from "./policy/merge";
import classes from "./policy/Policy.module.css";
import { Presets } from "./policy/Presets";
import { PreviewDrawer } from "./policy/Preview";
import { ProvidersTab } from "./policy/ProviderForm";
import { type InForce, usePolicyCheck, usePolicyInForce } from "./policy/queries";
import { Retention } from "./policy/Retention";
import { Revisions } from "./policy/Revisions";
import { Rules } from "./policy/Rules";
import { SaveDialog } from "./policy/SaveDialog";
import { changes, modeWords } from "./policy/words";
import { Yaml } from "./policy/Yaml";

const tabs = [
  { value: "general", label: "General", places: ["enabled", "mode", "trusted", "blocked"] },
  { value: "history", label: "Previous criteria check", places: ["history"] },
  { value: "activity", label: "Activity event criteria", places: ["activity"] },
  { value: "providers", label: "Threat providers", places: ["providers"] },
  { value: "retention", label: "Retention", places: [] },
  { value: "presets", label: "Presets", places: [] },
  { value: "yaml", label: "YAML", places: ["tests", "policy"] },
  { value: "revisions", label: "Revisions", places: [] },
];

/** The policy: what Warder counts, when it acts, and whom it spares. */
export default function Policy() {
  const inForce = usePolicyInForce();
  return (
    <Page title="Policy" about="What is counted, when Warder acts and how, and whom it always lets in.">
      {inForce.data ? (
        <Editor inForce={inForce.data} />
      ) : inForce.error ? (
        <ProblemAlert error={inForce.error} retry={inForce.refetch} />
      ) : (
        <Loading label="Loading the policy" />
      )}
    </Page>
  );
}

function Editor({ inForce }: { inForce: InForce }) {
  const { can } = useMe();
  const readOnly = inForce.readOnly || !can("admin");
  const [search, change] = useSearchState();
  const tab = tabs.some((t) => t.value === search.tab) ? (search.tab as string) : "general";
  // What the edit began from, and the edit.
  const [base, setBase] = useState(inForce);
  const [draft, setDraft] = useState<Draft>(() => fromDocument(inForce.doc));
  const [merged, setMerged] = useState<{ revision: number; conflicts: string[] }>();
  const [saving, setSaving] = useState(false);
  const [previewing, setPreviewing] = useState(false);
  const doc = useMemo(() => toDocument(draft), [draft]);
  const dirty = !same(doc, toDocument(fromDocument(base.doc)));
  const update = useCallback((f: (d: Draft) => Draft) => setDraft(f), []);
  const again = usePolicyInForce().refetch;

  // The policy changed under the page: without an edit take it, with one put
  // the edit on top of it.
  useEffect(() => {
    if (inForce.etag === base.etag) return;
    if (dirty) {
      const { doc: both, conflicts } = merge(base.doc, doc, inForce.doc);
      // Saved from here: nothing of an edit is left.
      if (!same(both, toDocument(fromDocument(inForce.doc))))
        setMerged({ revision: inForce.revision, conflicts });
      setDraft(fromDocument(both));
    } else {
      setDraft(fromDocument(inForce.doc));
    }
    setBase(inForce);
  }, [inForce, base, dirty, doc]);

  const [settled] = useDebouncedValue(doc, 350);
  const check = usePolicyCheck(settled);
  const faults = useMemo(() => placed(check.data?.faults ?? []), [check.data]);
  const places = Object.keys(faults);
  // A test that fails has several faults and is one thing to mend, at the top of the page.
  const failing = failingTests(faults).length;
  const others = places.filter((p) => !/^tests\[\d+\]/.test(p)).length;
  const valid = check.data?.valid === true && settled === doc && !check.isPlaceholderData;
  useBlocker({
    shouldBlockFn: ({ current, next }) =>
      current.pathname !== next.pathname &&
      !window.confirm("Leave the policy? Your changes are not saved and will be lost."),
    enableBeforeUnload: true,
    disabled: !dirty,
  });
  const edit = useMemo<Edit>(() => ({ draft, update, faults, readOnly }), [draft, update, faults, readOnly]);
  const count = dirty ? Math.max(1, valid ? changes(base.doc, doc).length : 1) : 0;

  return (
    <EditContext.Provider value={edit}>
      {inForce.readOnly && (
        <Alert color="gray" variant="light" icon={<IconLock />} title="A file rules this policy">
          It is set by <code>policy_file</code> in the configuration and is changed there. Here it can be
          read, previewed and exported.
        </Alert>
      )}
      {merged && (
        <Alert
          color="yellow"
          variant="light"
          icon={<IconHistory />}
          title={`Somebody saved revision ${merged.revision} while you were editing`}
          withCloseButton
          closeButtonLabel="Close"
          onClose={() => setMerged(undefined)}
        >
          Nothing of yours is lost: your changes stand on top of theirs now. Look at them once more before you
          save.
          {merged.conflicts.length > 0 && (
            <>
              {" "}
              In these places both changed the same, and yours stands:
              <List size="sm" mt={4}>
                {merged.conflicts.map((c) => (
                  <List.Item key={c}>
                    <code>{c}</code>
                  </List.Item>
                ))}
              </List>
            </>
          )}
        </Alert>
      )}
      <FailingTests />
      <Tabs
        value={tab}
        onChange={(t) =>
          change({
            tab: t === "general" ? undefined : (t ?? undefined),
            rule: undefined,
            revision: undefined,
          })
        }
        keepMounted={false}
      >
        <TabStrip chosen={tab} label="Parts of the policy" mb="md">
          {tabs.map((t) => {
            const n = places.filter((p) =>
              t.places.some((q) => p === q || p.startsWith(`${q}.`) || p.startsWith(`${q}[`)),
            ).length;
            return (
              <Tabs.Tab
                key={t.value}
                value={t.value}
                data-tab={t.value}
                rightSection={
                  n > 0 ? (
                    <IconAlertTriangle
                      size={14}
                      color="var(--mantine-color-error)"
                      aria-label={plural(n, "fault")}
                    />
                  ) : undefined
                }
              >
                {t.label}
              </Tabs.Tab>
            );
          })}
        </TabStrip>
        <Tabs.Panel value="general">
          <General />
        </Tabs.Panel>
        <Tabs.Panel value="history">
          <History />
        </Tabs.Panel>
        <Tabs.Panel value="activity">
          <Rules />
        </Tabs.Panel>
        <Tabs.Panel value="providers">
          <ProvidersTab />
        </Tabs.Panel>
        <Tabs.Panel value="retention">
          <Retention />
        </Tabs.Panel>
        <Tabs.Panel value="presets">
          <Presets />
        </Tabs.Panel>
        <Tabs.Panel value="yaml">
          <Yaml />
        </Tabs.Panel>
        <Tabs.Panel value="revisions">
          <Revisions inForce={inForce} readOnly={readOnly} dirty={dirty} />
        </Tabs.Panel>
      </Tabs>
      <Group
        className={`${classes.bar} surface no-print`}
        data-dirty={dirty || undefined}
        justify="space-between"
        gap="xs"
      >
        <Stack gap={0}>
          <Text size="sm" fw={600} role="status">
            {dirty ? `${plural(count, "change")} not saved` : `${modeWords[modeOf(base.doc)]} mode`}
          </Text>
          <Text size="xs" c={places.length > 0 ? "var(--mantine-color-error)" : "dimmed"}>
            {places.length > 0
              ? [
                  others > 0 && `${plural(others, "fault")} to mend first`,
                  failing > 0 && `${plural(failing, "test")} of the policy to look at first: see above`,
                ]
                  .filter(Boolean)
                  .join(", ")
              : base.revision > 0
                ? `from revision ${base.revision}`
                : "as Warder came"}
          </Text>
        </Stack>
        <Group gap="xs">
          {can("analyst") && (
            <Button
              variant="default"
              size="sm"
              leftSection={<IconPlayerPlay size={15} />}
              disabled={check.data?.valid === false}
              onClick={() => setPreviewing(true)}
            >
              Preview
            </Button>
          )}
          {dirty && (
            <>
              <Button variant="default" size="sm" onClick={() => setDraft(fromDocument(base.doc))}>
                Discard
              </Button>
              <Button size="sm" disabled={!valid} onClick={() => setSaving(true)}>
                Review and save
              </Button>
            </>
          )}
        </Group>
      </Group>
      <PreviewDrawer
        opened={previewing}
        onClose={() => setPreviewing(false)}
        draft={doc}
        inForce={base.doc}
      />
      <SaveDialog
        opened={saving}
        onClose={() => setSaving(false)}
        base={base}
        doc={doc}
        onSaved={() => {
          setSaving(false);
          setMerged(undefined);
        }}
        onConflict={() => {
          setSaving(false);
          void again();
        }}
      />
    </EditContext.Provider>
  );
}

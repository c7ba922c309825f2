import { Alert, Button, Group, List, Modal, Stack, Tabs, Text, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Problem } from "@/api/client";
import { DiffView } from "@/components/DiffView";
import { notifyDone, ProblemAlert } from "@/components/Feedback";
import { type Doc, modeOf } from "./draft";
import { type InForce, putPolicy, usePolicyCheck } from "./queries";
import { changes } from "./words";

/** Shows what a save changes, asks for a comment, and saves. */
export function SaveDialog(props: {
  opened: boolean;
  onClose: () => void;
  base: InForce;
  doc: Doc;
  onSaved: (doc: Doc) => void;
  /** Somebody else saved first: the page puts the edit on top of theirs. */
  onConflict: () => void;
}) {
  const { base, doc } = props;
  const [comment, setComment] = useState("");
  const queries = useQueryClient();
  const before = usePolicyCheck(props.opened ? base.doc : undefined);
  const after = usePolicyCheck(props.opened ? doc : undefined);
  const save = useMutation({
    mutationFn: () => putPolicy(doc, base.etag, comment.trim()),
    onSuccess: async (r) => {
      setComment("");
      // The page knows at once that nothing is left to save, before it has read it again.
      queries.setQueryData<InForce>(["policy"], {
        ...base,
        doc,
        revision: r.revision,
        etag: `"${r.revision}"`,
      });
      props.onSaved(doc);
      notifyDone(`Revision ${r.revision} is in force.`);
      await queries.invalidateQueries({ queryKey: ["policy"] });
      for (const key of ["providers", "status", "trusted"])
        void queries.invalidateQueries({ queryKey: [key] });
    },
    onError: (e) => {
      if (e instanceof Problem && e.status === 412) props.onConflict();
    },
  });
  const list = props.opened ? changes(base.doc, doc) : [];
  const stops = modeOf(base.doc) !== "off" && modeOf(doc) === "off";
  const begins = modeOf(base.doc) !== "enforce" && modeOf(doc) === "enforce";
  return (
    <Modal
      opened={props.opened}
      onClose={props.onClose}
      title={list.length === 1 ? "Save 1 change" : `Save ${list.length} changes`}
      size="xl"
    >
      <form
        onSubmit={(e) => {
          e.preventDefault();
          save.mutate();
        }}
      >
        <Stack gap="md">
          {stops && (
            <Alert color="red" variant="light" title="This switches the protection off">
              Events are stored, but nothing is counted and nobody is refused until it is switched on again.
            </Alert>
          )}
          {begins && (
            <Alert color="yellow" variant="light" title="From now on people are refused">
              Look at the preview first: it tells how many good sign-ins would have been refused.
            </Alert>
          )}
          <Tabs defaultValue="words" keepMounted={false}>
            <Tabs.List mb="sm">
              <Tabs.Tab value="words">In words</Tabs.Tab>
              <Tabs.Tab value="lines">Line by line</Tabs.Tab>
            </Tabs.List>
            <Tabs.Panel value="words">
              <List size="sm" spacing={6}>
                {list.map((c) => (
                  <List.Item key={c} className="breakable">
                    {c}
                  </List.Item>
                ))}
              </List>
              {list.length === 0 && (
                <Text size="sm" c="dimmed">
                  Nothing that changes what the policy does.
                </Text>
              )}
            </Tabs.Panel>
            <Tabs.Panel value="lines">
              {before.data?.yaml && after.data?.yaml ? (
                <DiffView
                  before={before.data.yaml}
                  after={after.data.yaml}
                  label="What saving changes"
                  maxHeight="45vh"
                />
              ) : (
                <ProblemAlert error={before.error ?? after.error} />
              )}
            </Tabs.Panel>
          </Tabs>
          <TextInput
            label="Why"
            description="For whoever reads the revisions later."
            placeholder={list[0]?.slice(0, 120)}
            value={comment}
            onChange={(e) => setComment(e.currentTarget.value)}
            maxLength={500}
            data-autofocus
          />
          <ProblemAlert error={save.error} />
          <Text size="xs" c="dimmed">
            It takes effect at once. Blocks that stand now stay as they are.
          </Text>
          <Group justify="flex-end">
            <Button variant="default" onClick={props.onClose}>
              Back
            </Button>
            <Button type="submit" loading={save.isPending} color={stops ? "red" : undefined}>
              Save and put in force
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

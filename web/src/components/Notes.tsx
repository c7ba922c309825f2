import { ActionIcon, Box, Button, Group, Stack, Text, Textarea } from "@mantine/core";
import { modals } from "@mantine/modals";
import { IconTrash } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, data, type Schemas } from "@/api/client";
import { useMe } from "@/lib/me";
import { person } from "@/lib/words";
import { Loading, notifyProblem, ProblemAlert } from "./Feedback";
import { When } from "./When";

/** What people wrote down about something: ip:203.0.113.7, account:alice,
 * block:<id>, event:<id>. Analysts and above may write. */
export function Notes({ on, about }: { on: string; about: string }) {
  const queries = useQueryClient();
  const { can, me } = useMe();
  const [text, setText] = useState("");
  const notes = useQuery({
    queryKey: ["notes", on],
    queryFn: () =>
      data<Schemas["ItemsNote"]>(api.GET("/v1/notes", { params: { query: { on, limit: 100 } } })),
  });
  const refresh = () => queries.invalidateQueries({ queryKey: ["notes"] });
  const add = useMutation({
    mutationFn: () => data(api.POST("/v1/notes", { body: { on, text: text.trim() } })),
    onSuccess: async () => {
      setText("");
      await refresh();
    },
  });
  const remove = useMutation({
    mutationFn: (id: string) => data(api.DELETE("/v1/notes/{id}", { params: { path: { id } } })),
    onSuccess: refresh,
    onError: notifyProblem,
  });
  if (notes.error && !notes.data)
    return <ProblemAlert error={notes.error} retry={() => void notes.refetch()} />;
  if (!notes.data) return <Loading label="Loading notes" />;
  const items = notes.data.items ?? [];
  return (
    <Stack gap="sm">
      {items.length === 0 && !can("analyst") && (
        <Text size="sm" c="dimmed">
          Nobody wrote anything down about {about}.
        </Text>
      )}
      {items.map((n) => (
        <Box key={n.id}>
          <Text size="sm" className="breakable" style={{ whiteSpace: "pre-wrap" }}>
            {n.text}
          </Text>
          <Group gap={6} mt={2}>
            <Text size="xs" c="dimmed" className="breakable">
              {person(n.by)}
            </Text>
            <When at={n.time} dim />
            {(can("admin") || (me?.email && n.by === `operator:${me.email}`)) && (
              <ActionIcon
                size="xs"
                variant="subtle"
                color="gray"
                aria-label="Delete this note"
                onClick={() =>
                  modals.openConfirmModal({
                    title: "Delete this note?",
                    children: (
                      <Text size="sm" className="breakable" lineClamp={6}>
                        {n.text}
                      </Text>
                    ),
                    labels: { confirm: "Delete", cancel: "Cancel" },
                    confirmProps: { color: "red" },
                    onConfirm: () => remove.mutate(n.id),
                  })
                }
              >
                <IconTrash size={13} />
              </ActionIcon>
            )}
          </Group>
        </Box>
      ))}
      {can("analyst") && (
        <form
          onSubmit={(e) => {
            e.preventDefault();
            if (text.trim()) add.mutate();
          }}
        >
          <Stack gap="xs">
            <Textarea
              aria-label={`Note on ${about}`}
              placeholder="Write down what others should know"
              autosize
              minRows={2}
              maxLength={2000}
              value={text}
              onChange={(e) => setText(e.currentTarget.value)}
              onKeyDown={(e) => {
                if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) e.currentTarget.form?.requestSubmit();
              }}
            />
            <ProblemAlert error={add.error} />
            {text.trim() !== "" && (
              <Group justify="flex-end">
                <Button size="xs" type="submit" loading={add.isPending}>
                  Add note
                </Button>
              </Group>
            )}
          </Stack>
        </form>
      )}
    </Stack>
  );
}

import { ActionIcon, Button, Checkbox, Group, Menu, Stack, Text, TextInput } from "@mantine/core";
import { modals } from "@mantine/modals";
import { IconBookmark, IconPlus, IconTrash, IconUsers } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, data } from "@/api/client";
import { parseSearch, stringifySearch } from "@/lib/filters";
import { useMe } from "@/lib/me";
import { useSearchState } from "@/lib/search";
import { notifyDone, notifyProblem, ProblemAlert } from "./Feedback";

/** What of a page's URL a view keeps: not what is open on it at the moment. */
export function kept(search: Record<string, unknown>): string {
  const { event: _, tab: __, ...rest } = search;
  return stringifySearch(rest).slice(1);
}

/** The saved filters of a page: one's own and those shared with everybody. */
export function ViewsMenu({ page }: { page: string }) {
  const [search] = useSearchState();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const { can } = useMe();
  const views = useQuery({
    queryKey: ["views", page],
    queryFn: () => data(api.GET("/v1/views", { params: { query: { page } } })),
  });
  const remove = useMutation({
    mutationFn: (id: string) => data(api.DELETE("/v1/views/{id}", { params: { path: { id } } })),
    onError: notifyProblem,
    onSuccess: () => queries.invalidateQueries({ queryKey: ["views"] }),
  });
  const query = kept(search);
  const items = views.data?.items ?? [];
  const current = items.find((v) => v.query === query);
  const save = () => {
    const id = modals.open({
      title: "Save this view",
      children: <SaveForm page={page} query={query} close={() => modals.close(id)} />,
    });
  };
  return (
    <Menu position="bottom-end" width={280} withinPortal>
      <Menu.Target>
        <Button size="xs" variant="default" leftSection={<IconBookmark size={14} />}>
          {current ? current.name : "Views"}
        </Button>
      </Menu.Target>
      <Menu.Dropdown mah={420} style={{ overflowY: "auto" }}>
        {items.length === 0 && (
          <Text size="sm" c="dimmed" px="sm" py="xs">
            A view keeps the filters and the range of this page under a name.
          </Text>
        )}
        {items.map((v) => (
          <Group key={v.id} gap={2} wrap="nowrap">
            <Menu.Item
              flex={1}
              miw={0}
              onClick={() => void navigate({ to: ".", search: parseSearch(v.query) as never })}
              rightSection={v.shared ? <IconUsers size={14} aria-label="shared" /> : undefined}
            >
              <Text size="sm" truncate fw={v.id === current?.id ? 650 : 400}>
                {v.name}
              </Text>
            </Menu.Item>
            {(v.own ? can("analyst") : can("admin")) && (
              <ActionIcon
                variant="subtle"
                color="gray"
                size="sm"
                mr={6}
                aria-label={`Delete the view ${v.name}`}
                onClick={() => remove.mutate(v.id)}
              >
                <IconTrash size={14} />
              </ActionIcon>
            )}
          </Group>
        ))}
        {can("analyst") && (
          <>
            <Menu.Divider />
            <Menu.Item leftSection={<IconPlus size={14} />} onClick={save}>
              Save what is shown now
            </Menu.Item>
          </>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}

function SaveForm(props: { page: string; query: string; close: () => void }) {
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [shared, setShared] = useState(false);
  const save = useMutation({
    mutationFn: () =>
      data(
        api.POST("/v1/views", { body: { page: props.page, query: props.query, name: name.trim(), shared } }),
      ),
    onSuccess: async () => {
      props.close();
      notifyDone(`The view ${name.trim()} is saved.`);
      await queries.invalidateQueries({ queryKey: ["views"] });
    },
  });
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        save.mutate();
      }}
    >
      <Stack gap="md">
        <TextInput
          label="Name"
          placeholder="Password guessing, this week"
          value={name}
          maxLength={100}
          onChange={(e) => setName(e.currentTarget.value)}
          data-autofocus
          required
        />
        <Checkbox
          label="Share it with everybody here"
          checked={shared}
          onChange={(e) => setShared(e.currentTarget.checked)}
        />
        <ProblemAlert error={save.error} />
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={props.close}>
            Cancel
          </Button>
          <Button type="submit" loading={save.isPending} disabled={!name.trim()}>
            Save
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

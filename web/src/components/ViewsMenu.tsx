import { ActionIcon, Badge, Button, Checkbox, Group, Menu, Stack, Text, TextInput } from "@mantine/core";
import { modals } from "@mantine/modals";
import { IconBookmark, IconBookmarkPlus, IconSettings, IconTrash } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, data, type Schemas } from "@/api/client";
import { parseSearch, stringifySearch } from "@/lib/filters";
import { useMe } from "@/lib/me";
import { useSearchState } from "@/lib/search";
import { person } from "@/lib/words";
import { Ask } from "./Ask";
import { Loading, notifyDone, notifyProblem, ProblemAlert } from "./Feedback";

type View = Schemas["SavedView"];

/** What of a page's URL a view keeps: not what is open on it at the moment. */
export function kept(search: Record<string, unknown>): string {
  const { event: _, block: __, tab: ___, ...rest } = search;
  return stringifySearch(rest).slice(1);
}

/** A query in words: "rule sign_in, state expired". */
const inWords = (query: string) =>
  Object.entries(parseSearch(query))
    .flatMap(([name, value]) => [value].flat().map((v) => `${name.replace(/^not_/, "not ")} ${v}`))
    .join(", ");

function useViews(page: string) {
  return useQuery({
    queryKey: ["views", page],
    queryFn: () => data<Schemas["ItemsSavedView"]>(api.GET("/v1/views", { params: { query: { page } } })),
    select: (list) => (list.items ?? []).filter((v) => v.page === page),
    staleTime: 60_000,
  });
}

/** Saved filters of a page, one's own and those shared with everybody. `page`
 * is its path without the first "/": events, blocks. */
export function ViewsMenu({ page, size = "xs" }: { page: string; size?: string }) {
  const [search] = useSearchState();
  const navigate = useNavigate();
  const { can } = useMe();
  const views = useViews(page);
  const list = views.data ?? [];
  const query = kept(search);
  const current = list.find((v) => v.query === query);
  if (list.length === 0 && !can("analyst")) return null;
  return (
    <Menu position="bottom-end" withinPortal width={280}>
      <Menu.Target>
        <Button size={size} variant="default" leftSection={<IconBookmark size={15} />}>
          {current ? current.name : "Views"}
        </Button>
      </Menu.Target>
      <Menu.Dropdown mah={420} style={{ overflowY: "auto" }}>
        {list.length === 0 && <Menu.Label>No view was saved yet</Menu.Label>}
        {list.map((v) => (
          <Menu.Item
            key={v.id}
            onClick={() => void navigate({ to: `/${page}` as never, search: parseSearch(v.query) as never })}
            rightSection={
              v.shared ? (
                <Badge size="xs" variant="light" color="gray" tt="none">
                  shared
                </Badge>
              ) : undefined
            }
          >
            <Text size="sm" className="breakable" lineClamp={2} fw={v.id === current?.id ? 650 : 400}>
              {v.name}
            </Text>
          </Menu.Item>
        ))}
        {can("analyst") && (
          <>
            <Menu.Divider />
            <Menu.Item leftSection={<IconBookmarkPlus size={16} />} onClick={() => openSave(page, query)}>
              Save what is shown now…
            </Menu.Item>
            {list.length > 0 && (
              <Menu.Item leftSection={<IconSettings size={16} />} onClick={() => openManage(page)}>
                Remove views…
              </Menu.Item>
            )}
          </>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}

function openSave(page: string, query: string) {
  const id = modals.open({
    title: "Save this view",
    size: 420,
    children: <Save page={page} query={query} close={() => modals.close(id)} />,
  });
}

function Save(props: { page: string; query: string; close: () => void }) {
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [shared, setShared] = useState(false);
  const save = useMutation({
    mutationFn: () =>
      data<View>(
        api.POST("/v1/views", { body: { name: name.trim(), page: props.page, query: props.query, shared } }),
      ),
    onSuccess: async (v) => {
      props.close();
      notifyDone(`The view "${v.name}" is saved.`);
      await queries.invalidateQueries({ queryKey: ["views"] });
    },
  });
  return (
    <Ask deed={save} act="Save" ready={name.trim() !== ""} close={props.close}>
      <Text size="sm" c="dimmed" className="breakable">
        {props.query
          ? `It keeps the filters, the range and the tab: ${inWords(props.query)}.`
          : "No filter is set: the view shows the page as it begins."}
      </Text>
      <TextInput
        label="Name"
        maxLength={80}
        value={name}
        onChange={(e) => setName(e.currentTarget.value)}
        required
        data-autofocus
      />
      <Checkbox
        label="Everybody sees it"
        checked={shared}
        onChange={(e) => setShared(e.currentTarget.checked)}
      />
    </Ask>
  );
}

function openManage(page: string) {
  modals.open({ title: "Remove views", size: 460, children: <Manage page={page} /> });
}

function Manage({ page }: { page: string }) {
  const queries = useQueryClient();
  const { can } = useMe();
  const views = useViews(page);
  const remove = useMutation({
    mutationFn: (v: View) => data(api.DELETE("/v1/views/{id}", { params: { path: { id: v.id } } })),
    onSuccess: async (_, v) => {
      await queries.invalidateQueries({ queryKey: ["views"] });
      notifyDone(`The view "${v.name}" is gone.`, async () => {
        await data(
          api.POST("/v1/views", { body: { name: v.name, page: v.page, query: v.query, shared: v.shared } }),
        );
        await queries.invalidateQueries({ queryKey: ["views"] });
      });
    },
    onError: notifyProblem,
  });
  if (views.error && !views.data) return <ProblemAlert error={views.error} />;
  if (!views.data) return <Loading label="Loading the views" />;
  return (
    <Stack gap="sm">
      {views.data.length === 0 && <Text size="sm">No view is left.</Text>}
      {views.data.map((v) => (
        <Group key={v.id} justify="space-between" wrap="nowrap">
          <Stack gap={0} style={{ minWidth: 0 }}>
            <Text size="sm" className="breakable">
              {v.name}
            </Text>
            <Text size="xs" c="dimmed" className="breakable">
              {v.shared ? `shared by ${v.own ? "you" : person(v.by)}` : "only you see it"}
            </Text>
          </Stack>
          {(v.own || can("admin")) && (
            <ActionIcon
              variant="subtle"
              color="red"
              aria-label={`Remove the view ${v.name}`}
              loading={remove.isPending && remove.variables?.id === v.id}
              onClick={() => remove.mutate(v)}
            >
              <IconTrash size={16} />
            </ActionIcon>
          )}
        </Group>
      ))}
    </Stack>
  );
}

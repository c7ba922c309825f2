import {
  Alert,
  Button,
  Drawer,
  Group,
  Modal,
  SegmentedControl,
  Stack,
  Text,
  useMatches,
} from "@mantine/core";
import { IconDownload, IconRestore } from "@tabler/icons-react";
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, data } from "@/api/client";
import { CodeBlock } from "@/components/CodeBlock";
import { DataTable } from "@/components/DataTable";
import { DiffView } from "@/components/DiffView";
import { Empty, Loading, notifyDone, ProblemAlert } from "@/components/Feedback";
import { Panel } from "@/components/Page";
import { When } from "@/components/When";
import { download } from "@/lib/download";
import { useSearchState } from "@/lib/search";
import { person } from "@/lib/words";
import { type InForce, usePolicyCheck } from "./queries";

const useRevision = (n: number | undefined) =>
  useQuery({
    queryKey: ["policy", "revision", n],
    queryFn: () => data(api.GET("/v1/policy/revisions/{n}", { params: { path: { n: n as number } } })),
    enabled: n !== undefined && n > 0,
    staleTime: Number.POSITIVE_INFINITY,
  });

/** Who changed the policy and when; every version can be seen, compared and brought back. */
export function Revisions(props: { inForce: InForce; readOnly: boolean; dirty: boolean }) {
  const [search, change] = useSearchState();
  const open = Number(search.revision) || undefined;
  const list = useInfiniteQuery({
    queryKey: ["policy", "revisions"],
    queryFn: ({ pageParam }) =>
      data(api.GET("/v1/policy/revisions", { params: { query: { limit: 50, cursor: pageParam } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next,
  });
  const rows = list.data?.pages.flatMap((p) => p.items);
  return (
    <Panel title="Revisions" pad={false}>
      <DataTable
        label="Revisions of the policy"
        rows={rows}
        error={list.error}
        retry={list.refetch}
        id={(r) => String(r.revision)}
        onOpen={(r) => change({ revision: String(r.revision) })}
        more={list.hasNextPage ? () => list.fetchNextPage() : undefined}
        loadingMore={list.isFetchingNextPage}
        minWidth={520}
        empty={
          <Empty title="Never changed">
            The policy is still the one that Warder came with. Every change will stand here.
          </Empty>
        }
        columns={[
          {
            key: "n",
            title: "Revision",
            width: 130,
            cell: (r) => (
              <Group gap={8} wrap="nowrap">
                <Text size="sm" fw={600}>
                  {r.revision}
                </Text>
                {r.revision === props.inForce.revision && (
                  <Text size="xs" c="var(--state-good)" fw={600}>
                    in force
                  </Text>
                )}
              </Group>
            ),
          },
          { key: "time", title: "When", width: 150, cell: (r) => <When at={r.time ?? undefined} /> },
          { key: "by", title: "Who", cell: (r) => <Text size="sm">{person(r.by)}</Text> },
          {
            key: "comment",
            title: "Why",
            cell: (r) => (
              <Text size="sm" c={r.comment ? undefined : "dimmed"}>
                {r.comment || "no comment"}
              </Text>
            ),
          },
          {
            key: "open",
            title: <span className="visually-hidden">Actions</span>,
            width: 90,
            cell: (r) => (
              <Button
                size="compact-sm"
                variant="default"
                onClick={() => change({ revision: String(r.revision) })}
                aria-label={`Show revision ${r.revision}`}
              >
                Show
              </Button>
            ),
          },
        ]}
      />
      <Drawer
        opened={open !== undefined}
        onClose={() => change({ revision: undefined })}
        position="right"
        size="xl"
        padding="lg"
        title={
          <Text fw={650} fz="lg">
            Revision {open}
          </Text>
        }
        closeButtonProps={{ "aria-label": "Close the revision" }}
      >
        {open !== undefined && (
          <Revision
            n={open}
            before={rows?.find((r) => r.revision < open)?.revision}
            inForce={props.inForce}
            readOnly={props.readOnly}
            dirty={props.dirty}
            onDone={() => change({ revision: undefined })}
          />
        )}
      </Drawer>
    </Panel>
  );
}

function Revision(props: {
  n: number;
  before: number | undefined;
  inForce: InForce;
  readOnly: boolean;
  dirty: boolean;
  onDone: () => void;
}) {
  const [view, setView] = useState("change");
  const narrow = useMatches({ base: true, xs: false });
  const [asking, setAsking] = useState(false);
  const queries = useQueryClient();
  const revision = useRevision(props.n);
  const before = useRevision(props.before);
  const now = usePolicyCheck(props.inForce.doc);
  const restore = useMutation({
    mutationFn: () =>
      data(
        api.POST("/v1/policy/revisions/{n}/restore", {
          params: { path: { n: props.n }, header: { "If-Match": props.inForce.etag } },
        }),
      ),
    onSuccess: async (r) => {
      notifyDone(`Revision ${props.n} is in force again, as revision ${r.revision}.`);
      setAsking(false);
      props.onDone();
      await queries.invalidateQueries({ queryKey: ["policy"] });
      void queries.invalidateQueries({ queryKey: ["providers"] });
    },
    onError: () => void queries.invalidateQueries({ queryKey: ["policy"] }),
  });
  if (revision.error) return <ProblemAlert error={revision.error} retry={revision.refetch} />;
  if (!revision.data) return <Loading label="Loading the revision" />;
  const r = revision.data;
  const text = r.document ?? "";
  const current = props.n === props.inForce.revision;
  return (
    <Stack gap="md">
      <Group gap={6}>
        <Text size="sm">{person(r.by)}</Text>
        <Text size="sm" c="dimmed">
          ·
        </Text>
        <When at={r.time ?? undefined} exactly />
      </Group>
      {r.comment && (
        <Text size="sm" className="breakable">
          {r.comment}
        </Text>
      )}
      <SegmentedControl
        size={narrow ? "xs" : "sm"}
        aria-label="What to show"
        value={view}
        onChange={setView}
        data={[
          { value: "change", label: "What it changed" },
          { value: "now", label: "Against today" },
          { value: "all", label: "Whole text" },
        ]}
      />
      {view === "change" &&
        (props.before === undefined ? (
          <Text size="sm" c="dimmed">
            This is the first revision. Before it Warder had the preset classic, which stands under Presets
            and can be put in force again from there.
          </Text>
        ) : (
          before.data && (
            <DiffView
              before={before.data.document ?? ""}
              after={text}
              label="What this revision changed"
              maxHeight="60vh"
            />
          )
        ))}
      {view === "now" &&
        (current ? (
          <Text size="sm" c="dimmed">
            This revision is in force.
          </Text>
        ) : (
          now.data?.yaml && (
            <Stack gap={6}>
              <Text size="xs" c="dimmed">
                What restoring it would change.
              </Text>
              <DiffView
                before={now.data.yaml}
                after={text}
                label="From today to this revision"
                maxHeight="60vh"
              />
            </Stack>
          )
        ))}
      {view === "all" && <CodeBlock code={text} label={`Revision ${props.n}`} maxHeight="60vh" />}
      <Group justify="flex-end">
        <Button
          variant="default"
          size="sm"
          leftSection={<IconDownload size={15} />}
          onClick={() => download(`policy-${props.n}.yaml`, "application/yaml", text)}
        >
          Export
        </Button>
        {!current && !props.readOnly && (
          <Button size="sm" leftSection={<IconRestore size={15} />} onClick={() => setAsking(true)}>
            Restore
          </Button>
        )}
      </Group>
      <Modal
        opened={asking}
        onClose={() => setAsking(false)}
        title={`Restore revision ${props.n}?`}
        size="lg"
      >
        <Stack gap="md">
          <Text size="sm">
            It takes effect at once, as a new revision. Blocks that stand now stay as they are.
          </Text>
          {props.dirty && (
            <Alert color="yellow" variant="light">
              You have changes that are not saved. They stay in the draft, on top of what is restored.
            </Alert>
          )}
          {now.data?.yaml && (
            <DiffView before={now.data.yaml} after={text} label="What restoring changes" maxHeight="40vh" />
          )}
          <ProblemAlert error={restore.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={() => setAsking(false)}>
              Cancel
            </Button>
            <Button loading={restore.isPending} onClick={() => restore.mutate()}>
              Restore
            </Button>
          </Group>
        </Stack>
      </Modal>
    </Stack>
  );
}

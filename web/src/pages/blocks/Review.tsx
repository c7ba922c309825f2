import { Button } from "@mantine/core";
import { IconCheck } from "@tabler/icons-react";
import { type QueryClient, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, data } from "@/api/client";
import { notifyDone, notifyProblem } from "@/components/Feedback";
import { type Block, refreshBlocks } from "@/lib/blocks";
import { useMe } from "@/lib/me";
import { subjectOf } from "@/lib/report";

const mark = (blocks: Block[], reviewed: boolean) =>
  data(api.POST("/v1/blocks/review", { body: { ids: blocks.map((b) => b.id), reviewed } }));

/** Notes that somebody looked at these blocks and found them right; can be undone. */
export async function review(queries: QueryClient, blocks: Block[]) {
  await mark(blocks, true);
  const [first] = blocks;
  notifyDone(
    blocks.length === 1 && first
      ? `Reviewed: the block of ${subjectOf(first)} stays.`
      : `Reviewed: ${blocks.length} blocks stay.`,
    async () => {
      await mark(blocks, false);
      await refreshBlocks(queries);
    },
  );
  await refreshBlocks(queries);
}

/** Says that an automatic block is right. Only where nobody said so yet. */
export function ReviewButton({ block, compact = false }: { block: Block; compact?: boolean }) {
  const queries = useQueryClient();
  const { can } = useMe();
  const act = useMutation({ mutationFn: () => review(queries, [block]), onError: notifyProblem });
  if (!can("analyst") || block.reviewed_by || block.source !== "rule" || block.state !== "active")
    return null;
  return (
    <Button
      size={compact ? "compact-sm" : "xs"}
      variant="light"
      leftSection={<IconCheck size={14} />}
      loading={act.isPending}
      aria-label={`The block of ${subjectOf(block)} is right`}
      onClick={() => act.mutate()}
    >
      It is right
    </Button>
  );
}

import type { QueryClient } from "@tanstack/react-query";
import { api, data, type Schemas } from "@/api/client";
import { notifyDone } from "@/components/Feedback";
import { duration } from "./time";

export type Block = Schemas["BlockView"];

/** Everything that a block, its end or a mark shows in. */
const touched = [
  "blocks",
  "stats",
  "ips",
  "addresses",
  "accounts",
  "sessions",
  "explain",
  "events",
  "trusted",
];

export async function refreshBlocks(queries: QueryClient) {
  await queries.invalidateQueries({ predicate: (q) => touched.includes(String(q.queryKey[0])) });
}

/** The words for how long a block of so many seconds stands. */
export const blockedFor = (seconds: number) => (seconds ? `for ${duration(seconds)}` : "until lifted");

/** Blocks an address or prefix for so many seconds (0: until lifted), says so,
 * and offers for 10 seconds to take it back. */
export async function blockWithUndo(
  queries: QueryClient,
  body: { ip: string; reason: string; duration: number },
): Promise<Block> {
  const block = await data<Block>(api.POST("/v1/blocks", { body }));
  const subject = block.ip ?? body.ip;
  notifyDone(`${subject} is blocked ${blockedFor(body.duration)}.`, async () => {
    await data(
      api.DELETE("/v1/blocks/{id}", {
        params: { path: { id: block.id } },
        body: { verdict: "error", reason: "Undone right after blocking" },
      }),
    );
    await refreshBlocks(queries);
    notifyDone(`${subject} is not blocked any more.`);
  });
  await refreshBlocks(queries);
  return block;
}

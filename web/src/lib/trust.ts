import type { QueryClient } from "@tanstack/react-query";
import { api, data, type Schemas } from "@/api/client";
import { notifyDone } from "@/components/Feedback";
import { refreshBlocks } from "./blocks";
import { dayjs } from "./time";

type Trusted = Schemas["TrustedView"];

/** Takes an entry out of the trusted list, and offers for 10 seconds to put it back. */
export async function removeTrust(queries: QueryClient, entry: Trusted): Promise<void> {
  await data(api.DELETE("/v1/trusted/{id}", { params: { path: { id: entry.id } } }));
  notifyDone(`${entry.ip} is not trusted any more.`, async () => {
    const left = entry.until ? Math.max(1, dayjs(entry.until).diff(dayjs(), "second")) : 0;
    await data(api.POST("/v1/trusted", { body: { ip: entry.ip, note: entry.note, expires_in: left } }));
    await refreshBlocks(queries);
    notifyDone(`${entry.ip} is trusted again.`);
  });
  await refreshBlocks(queries);
}

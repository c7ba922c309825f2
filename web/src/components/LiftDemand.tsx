import { Text } from "@mantine/core";
import { modals } from "@mantine/modals";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, type Schemas } from "@/api/client";
import { refreshBlocks } from "@/lib/blocks";
import { Ask, ReasonInput } from "./Ask";
import { notifyDone } from "./Feedback";

export type Demand = Schemas["DemandView"];

/** Whom or what a demand concerns, in words. */
export function demandOf(d: Pick<Demand, "ip" | "account" | "realm">): string {
  const who = [d.account, d.account && d.ip && "from", d.ip].filter(Boolean).join(" ");
  return who || (d.realm ? `realm ${d.realm}` : "everybody");
}

/** What a demand asks for, as people say it. */
export const demandWords: Record<string, string> = { challenge: "a challenge", mfa: "a second factor" };

/** Asks whether a demand is to end before its time. */
export function openLiftDemand(d: Demand) {
  const id = modals.open({
    title: `Ask ${demandOf(d)} for nothing more?`,
    size: 460,
    children: <Form demand={d} close={() => modals.close(id)} />,
  });
}

function Form({ demand: d, close }: { demand: Demand; close: () => void }) {
  const queries = useQueryClient();
  const [reason, setReason] = useState("");
  const lift = useMutation({
    mutationFn: () =>
      api.DELETE("/v1/demands/{id}", {
        params: { path: { id: d.id }, query: { reason: reason.trim() || undefined } },
      }),
    onSuccess: async () => {
      close();
      notifyDone(`${demandWords[d.action] ?? d.action} is not asked for any more: ${demandOf(d)}.`);
      await queries.invalidateQueries({ queryKey: ["demands"] });
      await refreshBlocks(queries);
    },
  });
  return (
    <Ask deed={lift} act="Lift" close={close}>
      <Text size="sm">
        Rule {d.rule} asks for {demandWords[d.action] ?? d.action}. Once lifted the rule counts from zero, and
        can ask again.
      </Text>
      <ReasonInput value={reason} onChange={setReason} />
    </Ask>
  );
}

import { Text, Textarea } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, data } from "@/api/client";
import { refreshBlocks } from "@/lib/blocks";
import { addressOf } from "@/lib/ip";
import { Ask } from "./Ask";
import { notifyDone } from "./Feedback";

/** Says that an address is known to be fraudulent, or that it is not. */
export function MarkForm(props: { ip: string; fraudulent: boolean; note?: string; close: () => void }) {
  const queries = useQueryClient();
  const [note, setNote] = useState(props.fraudulent ? (props.note ?? "") : "");
  const send = (fraudulent: boolean, text: string) =>
    data(
      api.POST("/v1/ips/{ip}/mark", {
        params: { path: { ip: addressOf(props.ip) } },
        body: { fraudulent, note: text || undefined },
      }),
    );
  const mark = useMutation({
    mutationFn: () => send(props.fraudulent, note.trim()),
    onSuccess: async () => {
      props.close();
      notifyDone(
        props.fraudulent ? `${props.ip} is marked as fraudulent.` : `${props.ip} has no mark any more.`,
        async () => {
          await send(!props.fraudulent, props.note ?? "");
          await refreshBlocks(queries);
        },
      );
      await refreshBlocks(queries);
    },
  });
  return (
    <Ask
      deed={mark}
      act={props.fraudulent ? "Mark as fraudulent" : "Take the mark away"}
      color={props.fraudulent ? "red" : undefined}
      close={props.close}
    >
      <Text size="sm">
        {props.fraudulent
          ? "The policy's check of previous criteria can challenge or refuse marked addresses. The mark alone blocks nothing."
          : "The policy's check of previous criteria does not see it as fraudulent any more."}
      </Text>
      <Textarea
        label="Note"
        autosize
        minRows={2}
        maxLength={2000}
        value={note}
        onChange={(e) => setNote(e.currentTarget.value)}
        data-autofocus
      />
    </Ask>
  );
}

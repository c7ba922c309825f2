import { Alert, Text } from "@mantine/core";
import { modals } from "@mantine/modals";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, data, type Schemas } from "@/api/client";
import { refreshBlocks } from "@/lib/blocks";
import { straight } from "@/lib/words";
import { Ask, ReasonInput } from "./Ask";
import { notifyDone } from "./Feedback";

type Session = Schemas["SessionView"];
type Target = { session: Session } | { account: string; realm?: string } | { ip: string };

/** Asks whether sessions are to be ended: one, all of an account, or all of an address. */
export function openEndSessions(target: Target) {
  const title =
    "session" in target
      ? `End this session of ${straight(target.session.account)}?`
      : `End all sessions of ${"ip" in target ? target.ip : straight(target.account)}?`;
  const id = modals.open({
    title,
    size: 460,
    children: <Form target={target} close={() => modals.close(id)} />,
  });
}

function Form({ target, close }: { target: Target; close: () => void }) {
  const queries = useQueryClient();
  const [reason, setReason] = useState("");
  const many = "session" in target ? undefined : target;
  const live = useQuery({
    queryKey: ["sessions", "live", many],
    queryFn: () =>
      data<Schemas["ItemsSessionView"]>(
        api.GET("/v1/sessions", { params: { query: { ...many, live: true, limit: 500 } } }),
      ),
    enabled: many !== undefined,
  });
  const end = useMutation({
    mutationFn: () => {
      const why = reason.trim() || undefined;
      const body =
        "session" in target ? { session: target.session.session, reason: why } : { ...target, reason: why };
      return data<Schemas["RevokedAnswer"]>(api.POST("/v1/sessions/revoke", { body }));
    },
    onSuccess: async (out) => {
      close();
      const n = out.items?.length ?? 0;
      notifyDone(n === 1 ? "The session is ended." : `${n} sessions are ended.`);
      await refreshBlocks(queries);
    },
  });
  const count = live.data?.items?.length;
  return (
    <Ask deed={end} act={many ? "End all" : "End session"} color="red" ready={count !== 0} close={close}>
      <Text size="sm">
        {many &&
          (count === undefined
            ? "Counting the sessions… "
            : count === 0
              ? "No session is open at present. "
              : `${count === 1 ? "One session is" : `${count}${live.data?.next ? " or more" : ""} sessions are`} open. `)}
        The application is told at once and signs the person out. Nobody is blocked: whoever has the password
        can sign in again.
      </Text>
      <ReasonInput value={reason} onChange={setReason} />
      {live.error && (
        <Alert color="yellow" variant="light" p="xs">
          How many there are could not be read.
        </Alert>
      )}
    </Ask>
  );
}

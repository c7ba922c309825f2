import { Alert, Checkbox, Text, TextInput } from "@mantine/core";
import { modals } from "@mantine/modals";
import { IconInfoCircle } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, data } from "@/api/client";
import { Ask } from "./Ask";
import { notifyDone } from "./Feedback";

type Target = { ip?: string; account?: string; realm?: string };

/** What clears the tracking of everything has to be typed. */
export const clearWord = "clear all";

/** Asks whether the counted attempts of an address, of an account or of
 * everything are to be forgotten. */
export function openClearTracking(target: Target, done?: () => void) {
  const what = target.ip ?? target.account;
  const id = modals.open({
    title: what ? `Clear the tracking of ${what}?` : "Clear all tracking?",
    size: 480,
    children: <Form target={target} done={done} close={() => modals.close(id)} />,
  });
}

function Form({ target, close, done }: { target: Target; close: () => void; done?: () => void }) {
  const queries = useQueryClient();
  const [metrics, setMetrics] = useState(false);
  const [typed, setTyped] = useState("");
  const what = target.ip ?? target.account;
  const clear = useMutation({
    mutationFn: () =>
      data(api.POST("/v1/counters/clear", { body: { ...target, restart_metrics: metrics || undefined } })),
    onSuccess: async () => {
      close();
      done?.();
      notifyDone(
        what
          ? `The tracking of ${what} starts at zero. Blocks stay.`
          : "All tracking starts at zero. Blocks stay.",
      );
      await queries.invalidateQueries();
    },
  });
  const ready = what !== undefined || typed.trim().toLowerCase() === clearWord;
  return (
    <Ask deed={clear} act={what ? "Clear" : "Clear everything"} color="red" ready={ready} close={close}>
      <Text size="sm">
        {what
          ? "The failures and attempts counted for it so far are forgotten. A challenge or second factor that is already asked for stays until it is met or ends."
          : "Every counter of every address and account is emptied: an attack under way gets as many attempts again as the rules allow."}
      </Text>
      <Alert variant="light" color="blue" p="xs" icon={<IconInfoCircle size={18} />}>
        Blocks stay. Who is blocked stays blocked until the block ends or is lifted one by one. Events stay,
        too.
      </Alert>
      {what === undefined && (
        <>
          <Checkbox
            label="Fresh metrics, too"
            description="The statistics of the security events start anew from now. The events themselves are kept."
            checked={metrics}
            onChange={(e) => setMetrics(e.currentTarget.checked)}
          />
          <TextInput
            label={`Type "${clearWord}" to confirm`}
            autoComplete="off"
            value={typed}
            onChange={(e) => setTyped(e.currentTarget.value)}
            data-autofocus
          />
        </>
      )}
    </Ask>
  );
}

import { Button, Checkbox, Group, Radio, Stack, Text, TextInput } from "@mantine/core";
import { modals } from "@mantine/modals";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, data } from "@/api/client";
import { type Block, refreshBlocks } from "@/lib/blocks";
import { useMe } from "@/lib/me";
import { exact, relative } from "@/lib/time";
import { notifyDone, ProblemAlert } from "./Feedback";

/** What a block is of, in words: an address, an account, or both. */
export function subjectOf(block: Pick<Block, "ip" | "account" | "session">): string {
  if (block.session) return `session ${block.session}`;
  if (block.ip && block.account) return `${block.account} from ${block.ip}`;
  return block.ip || block.account || "everybody";
}

/** Asks whether a block is to be lifted, and with what verdict. */
export function openUnblockDialog(block: Block) {
  const id = modals.open({
    title: `Unblock ${subjectOf(block)}?`,
    size: 480,
    children: <UnblockForm block={block} close={() => modals.close(id)} />,
  });
}

function UnblockForm({ block, close }: { block: Block; close: () => void }) {
  const queries = useQueryClient();
  const [verdict, setVerdict] = useState<"error" | "resolved">("resolved");
  const [reason, setReason] = useState("");
  const [trust, setTrust] = useState(false);
  const [clear, setClear] = useState(true);
  const lift = useMutation({
    mutationFn: () =>
      data(
        api.DELETE("/v1/blocks/{id}", {
          params: { path: { id: block.id } },
          body: {
            verdict,
            reason: reason.trim() || undefined,
            trust_for: trust ? 86400 : undefined,
            clear_counters: clear || undefined,
          },
        }),
      ),
    onSuccess: async () => {
      close();
      notifyDone(`${subjectOf(block)} is not blocked any more.`);
      await refreshBlocks(queries);
    },
  });
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        lift.mutate();
      }}
    >
      <Stack gap="md">
        <Text size="sm" className="breakable">
          Blocked since {block.blocked_at ? exact(block.blocked_at) : "some time"}
          {block.until ? `, until ${exact(block.until)} (${relative(block.until)})` : ", until lifted"}
          {block.reason ? `: ${block.reason}` : ""}. {block.hits.toLocaleString("en")} request
          {block.hits === 1 ? "" : "s"} refused by it.
        </Text>
        <Radio.Group label="Verdict" value={verdict} onChange={(v) => setVerdict(v as typeof verdict)}>
          <Stack gap={8} mt={6}>
            <Radio
              value="resolved"
              label="Resolved"
              description="The block was right, the matter is settled. It stays in the history."
            />
            <Radio
              value="error"
              label="It was a mistake"
              description="It never counts against the address, and its counters are cleared."
            />
          </Stack>
        </Radio.Group>
        <TextInput
          label="Reason"
          description="For the audit trail."
          maxLength={500}
          value={reason}
          onChange={(e) => setReason(e.currentTarget.value)}
        />
        <Stack gap={6}>
          <Checkbox
            label="Clear the counted attempts, so that counting starts at zero"
            checked={clear || verdict === "error"}
            disabled={verdict === "error"}
            onChange={(e) => setClear(e.currentTarget.checked)}
          />
          {block.ip && (
            <Checkbox
              label="Trust the address for 24 hours"
              checked={trust}
              onChange={(e) => setTrust(e.currentTarget.checked)}
            />
          )}
        </Stack>
        <ProblemAlert error={lift.error} />
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>
            Cancel
          </Button>
          <Button type="submit" loading={lift.isPending} data-autofocus>
            Unblock
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

/** The button of a row that lifts its block, after asking. */
export function UnblockButton({ block }: { block: Block }) {
  const { can } = useMe();
  if (!can("admin") || block.state !== "active") return null;
  return (
    <Button
      size="compact-sm"
      variant="default"
      aria-label={`Unblock ${subjectOf(block)}`}
      onClick={() => openUnblockDialog(block)}
    >
      Unblock
    </Button>
  );
}

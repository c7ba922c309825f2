import { Alert, Button, Checkbox, Group, List, Radio, Stack, Text, TextInput } from "@mantine/core";
import { modals } from "@mantine/modals";
import { IconUsers } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, data, type Schemas } from "@/api/client";
import { type Block, refreshBlocks } from "@/lib/blocks";
import { useMe } from "@/lib/me";
import { type LiftFilter, reasonOf, remaining, subjectOf } from "@/lib/report";
import { exact } from "@/lib/time";
import { Ask } from "./Ask";
import { DurationSelect } from "./DurationSelect";
import { Loading, notifyDone, ProblemAlert } from "./Feedback";

export { subjectOf } from "@/lib/report";

type Lifted = Schemas["Lifted"];
type Target = { block: Block } | { ids: string[] } | { filter: LiftFilter };

/** Asks whether a block is to be lifted, and with what verdict. */
export function openUnblockDialog(block: Block, verdict?: "error" | "resolved") {
  open(`Unblock ${subjectOf(block)}?`, { block }, verdict);
}

/** Asks whether many blocks are to be lifted: those chosen, or all that the
 * list's filter selects. How many they are is asked of Warder first. */
export function openBulkUnblock(target: { ids: string[] } | { filter: LiftFilter }, done?: () => void) {
  open("ids" in target ? "Unblock the selection?" : "Unblock all that match?", target, undefined, done);
}

function open(title: string, target: Target, verdict?: "error" | "resolved", done?: () => void) {
  const id = modals.open({
    title,
    size: 520,
    children: <Form target={target} verdict={verdict} close={() => modals.close(id)} done={done} />,
  });
}

// From so many blocks on, the number has to be typed.
const many = 10;

function Form(props: {
  target: Target;
  verdict?: "error" | "resolved";
  close: () => void;
  done?: () => void;
}) {
  const { target } = props;
  const queries = useQueryClient();
  const [verdict, setVerdict] = useState<"error" | "resolved" | "">(props.verdict ?? "");
  const [reason, setReason] = useState("");
  const [trust, setTrust] = useState(0);
  const [clear, setClear] = useState(true);
  const [typed, setTyped] = useState("");
  const bulk = "block" in target ? undefined : target;
  const preview = useQuery({
    queryKey: ["blocks", "lift", bulk],
    queryFn: () =>
      data<Lifted>(api.POST("/v1/blocks/lift", { body: { ...bulk, verdict: "resolved", dry_run: true } })),
    enabled: bulk !== undefined,
    staleTime: 0,
  });
  const lift = useMutation({
    mutationFn: () => {
      const body = {
        verdict: verdict as "error" | "resolved",
        reason: reason.trim() || undefined,
        trust_for: trust || undefined,
        clear_counters: clear || undefined,
      };
      return "block" in target
        ? data<Lifted>(api.DELETE("/v1/blocks/{id}", { params: { path: { id: target.block.id } }, body }))
        : data<Lifted>(api.POST("/v1/blocks/lift", { body: { ...body, ...target } }));
    },
    onSuccess: async (out) => {
      props.close();
      props.done?.();
      notifyDone(
        "block" in target
          ? `${subjectOf(target.block)} is not blocked any more.`
          : `${out?.lifted ?? 0} ${out?.lifted === 1 ? "block is" : "blocks are"} lifted.`,
      );
      await refreshBlocks(queries);
    },
  });
  if (bulk && preview.error)
    return <ProblemAlert error={preview.error} retry={() => void preview.refetch()} />;
  if (bulk && !preview.data) return <Loading label="Counting the blocks" />;
  const blocks = "block" in target ? [target.block] : (preview.data?.blocks ?? []);
  const count = "block" in target ? 1 : (preview.data?.lifted ?? 0);
  if (count === 0) {
    return (
      <Stack>
        <Text size="sm">None of these stands any more: there is nothing to lift.</Text>
        <Group justify="flex-end">
          <Button variant="default" onClick={props.close}>
            Close
          </Button>
        </Group>
      </Stack>
    );
  }
  const addresses = blocks.some((b) => b.ip);
  const ready = verdict !== "" && (count < many || typed.trim() === String(count));
  return (
    <Ask
      deed={lift}
      act={count === 1 ? "Unblock" : `Unblock ${count.toLocaleString("en")}`}
      ready={ready}
      close={props.close}
    >
      {"block" in target ? <One block={target.block} /> : <Several blocks={blocks} count={count} />}
      <Radio.Group
        label="Why does it end?"
        value={verdict}
        onChange={(v) => setVerdict(v as typeof verdict)}
        withAsterisk
      >
        <Stack gap={8} mt={6}>
          <Radio
            value="error"
            label="It was a mistake"
            description="Somebody innocent was hit. It never counts against them."
            data-autofocus
          />
          <Radio
            value="resolved"
            label="Resolved"
            description="The block was right and the matter is settled. It stays in the history."
          />
        </Stack>
      </Radio.Group>
      <TextInput
        label="Reason"
        placeholder="For the report and the audit trail"
        maxLength={500}
        value={reason}
        onChange={(e) => setReason(e.currentTarget.value)}
      />
      {addresses && (
        <DurationSelect
          label={count === 1 ? "Trust the address from now on" : "Trust the addresses from now on"}
          description="A trusted address is not counted and not blocked."
          zero="No"
          value={trust}
          onChange={setTrust}
        />
      )}
      <Checkbox
        label="Start counting at zero"
        description={
          clear || verdict === "error"
            ? "The failures counted so far are forgotten."
            : "Careful: with the counters as they stand, the next failure may block again."
        }
        checked={clear || verdict === "error"}
        disabled={verdict === "error"}
        onChange={(e) => setClear(e.currentTarget.checked)}
      />
      {count >= many && (
        <TextInput
          label={`Type ${count} to lift as many blocks`}
          inputMode="numeric"
          autoComplete="off"
          value={typed}
          onChange={(e) => setTyped(e.currentTarget.value)}
        />
      )}
    </Ask>
  );
}

const accounts = (n: number) => (n === 1 ? "1 account" : `${n.toLocaleString("en")} accounts`);

function One({ block }: { block: Block }) {
  return (
    <Stack gap="xs">
      <Text size="sm" className="breakable">
        Blocked {block.blocked_at ? `since ${exact(block.blocked_at)}` : ""}, {remaining(block)}
        {reasonOf(block) ? `: ${reasonOf(block)}` : ""}. It refused{" "}
        {block.hits === 1 ? "1 request" : `${block.hits.toLocaleString("en")} requests`}.
      </Text>
      {block.good_accounts_14d > 0 && (
        <Alert variant="light" color="yellow" p="xs" icon={<IconUsers size={18} />}>
          {accounts(block.good_accounts_14d)} signed in well from there in the 14 days before: it may have hit
          somebody innocent.
        </Alert>
      )}
    </Stack>
  );
}

function Several({ blocks, count }: { blocks: Block[]; count: number }) {
  const good = blocks.filter((b) => b.good_accounts_14d > 0).length;
  return (
    <Stack gap="xs">
      <Text size="sm">
        This lifts <b>{count === 1 ? "1 block" : `${count.toLocaleString("en")} blocks`}</b>
        {good > 0 &&
          `; ${good === 1 ? "1 of them is" : `${good} of them are`} of addresses that people signed in well from`}
        :
      </Text>
      <List size="sm" className="mono" spacing={2}>
        {blocks.slice(0, 6).map((b) => (
          <List.Item key={b.id} className="breakable">
            {subjectOf(b)}
          </List.Item>
        ))}
      </List>
      {count > 6 && (
        <Text size="sm" c="dimmed">
          and {(count - Math.min(6, blocks.length)).toLocaleString("en")} more
        </Text>
      )}
    </Stack>
  );
}

/** The button of a row that lifts its block, after asking. */
export function UnblockButton({ block }: { block: Block }) {
  const { can } = useMe();
  if (!can("admin") || block.state !== "active" || block.source === "policy") return null;
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

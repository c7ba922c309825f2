import {
  ActionIcon,
  Alert,
  Button,
  Chip,
  Group,
  Input,
  List,
  Radio,
  Stack,
  Text,
  TextInput,
  Tooltip,
} from "@mantine/core";
import { modals } from "@mantine/modals";
import { IconBan, IconShieldCheck } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, data, Problem, type Schemas } from "@/api/client";
import { blockChoices, parseAddress } from "@/lib/address";
import { blockedFor, blockWithUndo } from "@/lib/blocks";
import { useMe } from "@/lib/me";
import { Ask } from "./Ask";
import { DurationInput } from "./DurationInput";
import { notifyProblem } from "./Feedback";

const durations: [number, string][] = [
  [900, "15 min"],
  [3600, "1 h"],
  [86400, "24 h"],
  [7 * 86400, "7 days"],
  [30 * 86400, "30 days"],
  [0, "Permanent"],
];

/** Asks how an address is to be blocked: how wide, how long, why. Without an
 * address it asks for that, too. */
export function openBlockDialog(options: { ip?: string; reason?: string; duration?: number } = {}) {
  const id = modals.open({
    title: options.ip ? `Block ${options.ip}` : "Block an address",
    size: 530,
    children: <BlockForm {...options} close={() => modals.close(id)} />,
  });
}

function BlockForm(props: { ip?: string; reason?: string; duration?: number; close: () => void }) {
  const queries = useQueryClient();
  const [typed, setTyped] = useState(props.ip ?? "");
  const [chosen, setChosen] = useState<string>();
  const [seconds, setSeconds] = useState<number | undefined>(props.duration ?? 86400);
  const [own, setOwn] = useState(!durations.some(([s]) => s === seconds));
  const [reason, setReason] = useState(props.reason ?? "");
  const choices = blockChoices(typed);
  const value = choices.find((c) => c.value === chosen)?.value ?? choices[0]?.value ?? typed;
  const valid = parseAddress(value) !== undefined;
  const block = useMutation({
    mutationFn: () => blockWithUndo(queries, { ip: value, reason: reason.trim(), duration: seconds ?? 0 }),
    onSuccess: props.close,
  });
  const guard = block.error instanceof Problem && block.error.status === 409;
  return (
    <Ask
      deed={block}
      act={seconds === undefined ? "Block" : `Block ${blockedFor(seconds)}`}
      icon={<IconBan size={16} />}
      color="red.9"
      ready={valid && seconds !== undefined}
      problem={
        guard ? (
          <Alert
            role="alert"
            color="orange"
            variant="light"
            icon={<IconShieldCheck />}
            title="This would shut out somebody who must not be"
          >
            <Text size="sm" className="breakable">
              {value} {block.error?.message.replace(/^body\.ip:\s*/, "")}. Choose a narrower prefix, or remove
              it from the trusted list first.
            </Text>
          </Alert>
        ) : undefined
      }
      close={props.close}
    >
      {!props.ip && (
        <TextInput
          label="Address or prefix"
          placeholder="203.0.113.9 or 203.0.113.0/24"
          value={typed}
          onChange={(e) => {
            setTyped(e.currentTarget.value.trim());
            block.reset();
          }}
          error={typed !== "" && !valid && "This is no IP address and no prefix."}
          data-autofocus
          required
        />
      )}
      {valid && choices.length > 1 && (
        <Radio.Group
          label="How wide"
          value={value}
          onChange={(v) => {
            setChosen(v);
            block.reset();
          }}
        >
          <Stack gap={6} mt={6}>
            {choices.map((c) => (
              <Radio key={c.value} size="sm" value={c.value} label={c.label} className="breakable" />
            ))}
          </Stack>
        </Radio.Group>
      )}
      <Input.Wrapper label="How long" labelElement="div">
        <Chip.Group
          value={own ? "own" : String(seconds)}
          onChange={(v) => {
            setOwn(v === "own");
            setSeconds(v === "own" ? seconds || 2 * 86400 : Number(v));
          }}
        >
          <Group gap={6} mt={6} role="radiogroup" aria-label="How long">
            {[...durations, ["own", "Other…"] as const].map(([s, label]) => (
              <Chip key={s} size="xs" radius="sm" variant="light" value={String(s)}>
                {label}
              </Chip>
            ))}
          </Group>
        </Chip.Group>
        {own && (
          <DurationInput
            label={<span className="visually-hidden">For how long</span>}
            name="For how long"
            value={seconds}
            onChange={(s) => setSeconds(s || undefined)}
            min={1}
          />
        )}
      </Input.Wrapper>
      <TextInput
        label="Reason"
        description="Shown in the list of blocks, in the report and in the audit trail."
        placeholder="Password guessing against several accounts"
        maxLength={500}
        value={reason}
        onChange={(e) => setReason(e.currentTarget.value)}
      />
      {valid && <Consequences ip={value} />}
    </Ask>
  );
}

/** What is known of an address that somebody is about to block: who would be hurt. */
function Consequences({ ip }: { ip: string }) {
  const a = parseAddress(ip);
  const single = a !== undefined && a.bits >= (a.family === 4 ? 32 : 64);
  const { data: profile } = useQuery({
    queryKey: ["ips", ip],
    queryFn: () =>
      data<Schemas["AddressProfile"]>(
        api.GET("/v1/ips/{ip}", { params: { path: { ip: ip.replace(/\/(64|128)$/, "") } } }),
      ),
    enabled: single,
    retry: false,
  });
  if (!single)
    return (
      <Text size="sm" c="dimmed">
        Everybody in {ip} is refused, also those who never did anything.
      </Text>
    );
  if (!profile) return null;
  const live = profile.sessions?.filter((s) => !s.revoked_at).length ?? 0;
  const good = profile.why?.good_accounts_14d ?? 0;
  const blocked = profile.blocks?.some((b) => b.state === "active");
  const facts = [
    profile.known
      ? `${profile.bad.toLocaleString("en")} suspicious events, ${profile.completed.toLocaleString("en")} completed sign-ins from there.`
      : "Nothing was ever seen of this address.",
    ...(good > 0
      ? [`${good} account${good === 1 ? "" : "s"} signed in well from there in the last 14 days.`]
      : []),
    ...(live > 0 ? [`${live} session${live === 1 ? "" : "s"} from there will end for good.`] : []),
    ...(blocked ? ["It is blocked already; this makes a block of its own."] : []),
  ];
  return (
    <Alert color={good > 0 || live > 0 ? "yellow" : "gray"} variant="light" p="xs">
      <List size="sm" spacing={2}>
        {facts.map((f) => (
          <List.Item key={f}>{f}</List.Item>
        ))}
      </List>
    </Alert>
  );
}

/** Blocks an address from a row: one click, which can be undone for 10 seconds
 * (`now`), or with the questions of the dialog. Not offered to those who may not. */
export function BlockButton(props: {
  ip: string;
  reason?: string;
  now?: boolean;
  compact?: boolean;
  label?: string;
}) {
  const queries = useQueryClient();
  const { can } = useMe();
  const block = useMutation({
    mutationFn: () =>
      blockWithUndo(queries, { ip: props.ip, reason: props.reason ?? "Blocked by hand", duration: 0 }),
    onError: notifyProblem,
  });
  if (!can("admin")) return null;
  const act = () => (props.now ? block.mutate() : openBlockDialog({ ip: props.ip, reason: props.reason }));
  const label = props.now ? `Block ${props.ip} for good` : `Block ${props.ip}`;
  return props.compact ? (
    <Tooltip label={props.now ? "Block for good" : "Block"}>
      <ActionIcon variant="subtle" color="gray" aria-label={label} loading={block.isPending} onClick={act}>
        <IconBan size={16} />
      </ActionIcon>
    </Tooltip>
  ) : (
    <Button
      size="compact-sm"
      variant="light"
      color="red"
      aria-label={label}
      loading={block.isPending}
      leftSection={<IconBan size={14} />}
      onClick={act}
    >
      {props.label ?? "Block"}
    </Button>
  );
}

import { Alert, Radio, Stack, Text, TextInput } from "@mantine/core";
import { modals } from "@mantine/modals";
import { IconAlertTriangle } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, data, Problem, type Schemas } from "@/api/client";
import { blockChoices, parseAddress } from "@/lib/address";
import { refreshBlocks } from "@/lib/blocks";
import { duration } from "@/lib/time";
import { Ask } from "./Ask";
import { DurationSelect } from "./DurationSelect";
import { notifyDone, ProblemAlert } from "./Feedback";

type Trusted = Schemas["TrustedView"];

/** Asks how an address is to be trusted: how wide, how long, why. Without an
 * address it asks for that, too. */
export function openTrustDialog(options: { ip?: string; note?: string } = {}) {
  const id = modals.open({
    title: options.ip ? `Trust ${options.ip}` : "Trust an address",
    size: 480,
    children: <Form {...options} close={() => modals.close(id)} />,
  });
}

function Form(props: { ip?: string; note?: string; close: () => void }) {
  const queries = useQueryClient();
  const [typed, setTyped] = useState(props.ip ?? "");
  const [chosen, setChosen] = useState<string>();
  const [note, setNote] = useState(props.note ?? "");
  const [seconds, setSeconds] = useState(0);
  const choices = blockChoices(typed);
  const value = choices.find((c) => c.value === chosen)?.value ?? choices[0]?.value ?? typed;
  const parsed = parseAddress(value);
  const wide = parsed !== undefined && parsed.bits < (parsed.family === 4 ? 16 : 32);
  const trust = useMutation({
    mutationFn: () =>
      data<Trusted>(
        api.POST("/v1/trusted", { body: { ip: value, note: note.trim() || undefined, expires_in: seconds } }),
      ),
    onSuccess: async (entry) => {
      props.close();
      notifyDone(`${entry.ip} is trusted${seconds ? ` for ${duration(seconds)}` : ""}.`, async () => {
        await data(api.DELETE("/v1/trusted/{id}", { params: { path: { id: entry.id } } }));
        await refreshBlocks(queries);
        notifyDone(`${entry.ip} is not trusted any more.`);
      });
      await refreshBlocks(queries);
    },
  });
  const field = (name: string) =>
    trust.error instanceof Problem
      ? trust.error.faults.find((f) => f.location === `body.${name}`)?.message
      : undefined;
  return (
    <Ask
      deed={trust}
      act="Trust"
      ready={parsed !== undefined}
      close={props.close}
      problem={!field("ip") && !field("note") && <ProblemAlert error={trust.error} />}
    >
      <Text size="sm" c="dimmed">
        What comes from a trusted address is recorded, but it is not counted, challenged or blocked, even
        where a provider lists it. A block that stands there has no effect until the trust ends.
      </Text>
      {!props.ip && (
        <TextInput
          label="Address or prefix"
          placeholder="203.0.113.9 or 203.0.113.0/24"
          value={typed}
          onChange={(e) => {
            setTyped(e.currentTarget.value.trim());
            trust.reset();
          }}
          error={field("ip") ?? (typed !== "" && !parsed && "This is no IP address and no prefix.")}
          data-autofocus
          required
        />
      )}
      {parsed && choices.length > 1 && (
        <Radio.Group label="How wide" value={value} onChange={setChosen}>
          <Stack gap={6} mt={6}>
            {choices.map((c) => (
              <Radio key={c.value} size="sm" value={c.value} label={c.label} className="breakable" />
            ))}
          </Stack>
        </Radio.Group>
      )}
      <DurationSelect label="For how long" zero="Until removed" value={seconds} onChange={setSeconds} />
      <TextInput
        label="Note"
        placeholder="Whose address it is"
        maxLength={500}
        value={note}
        error={field("note")}
        onChange={(e) => setNote(e.currentTarget.value)}
      />
      {wide && (
        <Alert color="orange" variant="light" p="xs" icon={<IconAlertTriangle size={18} />}>
          This is a very wide prefix: attacks from anywhere in it will not be stopped.
        </Alert>
      )}
    </Ask>
  );
}

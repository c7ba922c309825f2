import {
  Alert,
  Button,
  Code,
  FileButton,
  Group,
  List,
  ScrollArea,
  Stack,
  Text,
  Textarea,
  TextInput,
} from "@mantine/core";
import { modals } from "@mantine/modals";
import { IconAlertTriangle, IconUpload } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { api, data, type Schemas } from "@/api/client";
import { DurationSelect } from "@/components/DurationSelect";
import { notifyDone, ProblemAlert } from "@/components/Feedback";
import { refreshBlocks } from "@/lib/blocks";
import { type LineFault, readImport } from "@/lib/import";

/** Asks for a list of addresses to be blocked, pasted or from a file. */
export function openImport() {
  const id = modals.open({
    title: "Import blocks",
    size: 640,
    children: <Form close={() => modals.close(id)} />,
  });
}

const maxFile = 8 << 20;
const maxEntries = 100_000;

function Form({ close }: { close: () => void }) {
  const queries = useQueryClient();
  const [text, setText] = useState("");
  const [file, setFile] = useState<{ name: string; text: string }>();
  const [problem, setProblem] = useState<string>();
  const [reason, setReason] = useState("");
  const [seconds, setSeconds] = useState(0);
  const [rejected, setRejected] = useState<LineFault[]>();
  const source = file?.text ?? text;
  const plan = useMemo(() => readImport(source, reason.trim(), seconds), [source, reason, seconds]);
  const send = useMutation({
    mutationFn: () =>
      data<Schemas["Imported"]>(api.POST("/v1/blocks/import", { body: { blocks: plan.entries } })),
    onSuccess: async (out) => {
      await refreshBlocks(queries);
      notifyDone(
        out.imported === 1
          ? "1 address is blocked."
          : `${out.imported.toLocaleString("en")} addresses are blocked.`,
      );
      const refused = out.rejected ?? [];
      if (refused.length === 0) return close();
      setRejected(
        refused.map((f) => ({ line: plan.lines[f.index] ?? f.index + 1, text: f.ip, message: f.message })),
      );
    },
  });
  const take = async (f: File | null) => {
    setRejected(undefined);
    setProblem(undefined);
    if (!f) return;
    if (f.size > maxFile) return setProblem(`${f.name} is larger than 8 MiB. Split it.`);
    setFile({ name: f.name, text: await f.text() });
  };
  const faults = rejected ?? plan.faults;
  const tooMany = plan.entries.length > maxEntries;
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        if (plan.entries.length > 0 && !tooMany) send.mutate();
      }}
      onDragOver={(e) => e.preventDefault()}
      onDrop={(e) => {
        e.preventDefault();
        void take(e.dataTransfer.files[0] ?? null);
      }}
    >
      <Stack gap="md">
        <Text size="sm" c="dimmed">
          One address or prefix a line, optionally followed by a reason and a duration:{" "}
          <Code>203.0.113.7</Code>, <Code>198.51.100.0/24,scanner,7d</Code>. CSV with a header and NDJSON
          work, too: also what was exported here.
        </Text>
        {file ? (
          <Group justify="space-between" wrap="nowrap">
            <Text size="sm" fw={550} className="breakable">
              {file.name}
            </Text>
            <Button
              size="xs"
              variant="default"
              onClick={() => {
                setFile(undefined);
                setRejected(undefined);
              }}
            >
              Another
            </Button>
          </Group>
        ) : (
          <Textarea
            label="Addresses"
            autosize
            minRows={5}
            maxRows={12}
            classNames={{ input: "mono" }}
            placeholder={"203.0.113.7\n198.51.100.0/24,scanner,7d"}
            value={text}
            onChange={(e) => {
              setText(e.currentTarget.value);
              setRejected(undefined);
            }}
            data-autofocus
          />
        )}
        <Group align="flex-end" gap="sm">
          <FileButton onChange={(f) => void take(f)} accept=".txt,.csv,.ndjson,.json,.list,.netset,text/*">
            {(props) => (
              <Button {...props} variant="default" size="xs" leftSection={<IconUpload size={14} />}>
                Choose a file
              </Button>
            )}
          </FileButton>
          {problem && (
            <Text size="sm" c="red" role="alert">
              {problem}
            </Text>
          )}
        </Group>
        <TextInput
          label="Reason, where a line has none"
          maxLength={500}
          value={reason}
          onChange={(e) => setReason(e.currentTarget.value)}
        />
        <DurationSelect
          label="Duration, where a line has none"
          zero="Until lifted"
          value={seconds}
          onChange={setSeconds}
        />
        {source.trim() !== "" && (
          <Text size="sm" aria-live="polite">
            <b>{plan.entries.length.toLocaleString("en")}</b> to block
            {plan.skipped > 0 && `, ${plan.skipped.toLocaleString("en")} left out because they had ended`}
            {plan.faults.length > 0 && `, ${plan.faults.length.toLocaleString("en")} that cannot be read`}
            {tooMany && ". At most 100,000 go in one import: split the list"}.
          </Text>
        )}
        {faults.length > 0 && (
          <Alert
            color="yellow"
            variant="light"
            icon={<IconAlertTriangle />}
            title={rejected ? "Warder refused these; the others are blocked" : "These lines are left out"}
          >
            <ScrollArea.Autosize mah={180} type="auto">
              <List size="sm" spacing={2}>
                {faults.slice(0, 200).map((f) => (
                  <List.Item key={`${f.line} ${f.message}`} className="breakable">
                    Line {f.line}: {rejected ? `${f.text} ` : ""}
                    {f.message}
                  </List.Item>
                ))}
              </List>
            </ScrollArea.Autosize>
            {faults.length > 200 && (
              <Text size="sm">and {(faults.length - 200).toLocaleString("en")} more</Text>
            )}
          </Alert>
        )}
        <ProblemAlert error={send.error} />
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>
            {rejected ? "Close" : "Cancel"}
          </Button>
          {!rejected && (
            <Button
              type="submit"
              color="red"
              loading={send.isPending}
              disabled={plan.entries.length === 0 || tooMany}
            >
              {plan.entries.length > 1 ? `Block ${plan.entries.length.toLocaleString("en")}` : "Block"}
            </Button>
          )}
        </Group>
      </Stack>
    </form>
  );
}

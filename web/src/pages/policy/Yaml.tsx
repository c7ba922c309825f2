import { Alert, Button, FileButton, Group, List, Stack, Text, Textarea } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { IconCircleCheck, IconDownload, IconUpload } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Copy } from "@/components/Links";
import { Panel } from "@/components/Page";
import { download } from "@/lib/download";
import { useEdit } from "./context";
import { type Doc, fromDocument, same, toDocument } from "./draft";
import { checkPolicy, usePolicyCheck } from "./queries";

const largest = 4 << 20;

/** The draft as YAML: to read, to write, to take away and to bring. */
export function Yaml() {
  const { draft, update, readOnly } = useEdit();
  const [doc] = useDebouncedValue(toDocument(draft), 300);
  const check = usePolicyCheck(doc);
  // What was typed here; undefined while the form speaks.
  const [typed, setTyped] = useState<string>();
  const [settled] = useDebouncedValue(typed, 400);
  const own = useQuery({
    queryKey: ["policy-check", "yaml", settled],
    queryFn: () => checkPolicy({ yaml: settled }),
    enabled: settled !== undefined && settled.trim() !== "",
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
  });
  const understood = settled === typed && own.data?.valid ? (own.data.policy as Doc | undefined) : undefined;
  useEffect(() => {
    if (understood) update((d) => (same(toDocument(d), understood) ? d : fromDocument(understood)));
  }, [understood, update]);
  const text = typed ?? check.data?.yaml ?? "";
  const faults = typed !== undefined ? (own.data?.faults ?? []) : (check.data?.faults ?? []);
  const good = typed === undefined ? check.data?.valid : understood !== undefined;
  return (
    <Panel
      title="YAML"
      aside={
        <Group gap="xs">
          {!readOnly && (
            <FileButton
              accept=".yaml,.yml,.json"
              onChange={async (file) => {
                if (file)
                  setTyped(file.size > largest ? `# ${file.name} is larger than 4 MiB` : await file.text());
              }}
              resetRef={undefined}
            >
              {(p) => (
                <Button {...p} size="xs" variant="default" leftSection={<IconUpload size={14} />}>
                  Import
                </Button>
              )}
            </FileButton>
          )}
          <Button
            size="xs"
            variant="default"
            leftSection={<IconDownload size={14} />}
            disabled={text === ""}
            onClick={() => download("policy.yaml", "application/yaml", text)}
          >
            Export
          </Button>
          <Copy value={text} label="Copy the YAML" />
        </Group>
      }
    >
      <Stack gap="sm">
        <Text size="sm" c="dimmed" maw={720}>
          The same names as in the form. What is written here goes into the draft as soon as it is right; it
          is in force when you save. A file like this can also rule by <code>policy_file</code> or{" "}
          <code>warder policy apply</code>.
        </Text>
        <Textarea
          aria-label="The policy as YAML"
          value={text}
          onChange={(e) => setTyped(e.currentTarget.value)}
          onBlur={() => understood && setTyped(undefined)}
          readOnly={readOnly}
          autosize
          minRows={18}
          maxRows={34}
          spellCheck={false}
          placeholder={
            check.data && !check.data.valid ? "The draft has faults: mend them to see it as YAML." : ""
          }
          styles={{
            input: {
              fontFamily: "var(--mantine-font-family-monospace)",
              fontSize: 12.5,
              lineHeight: 1.55,
              whiteSpace: "pre",
              overflowX: "auto",
            },
          }}
        />
        <div aria-live="polite">
          {faults.length > 0 ? (
            <Alert
              color="red"
              variant="light"
              title={faults.length === 1 ? "1 fault" : `${faults.length} faults`}
            >
              <List size="sm">
                {faults.slice(0, 20).map((f) => (
                  <List.Item key={`${f.location} ${f.message}`} className="breakable">
                    <code>{f.location}</code> {f.message}
                  </List.Item>
                ))}
              </List>
            </Alert>
          ) : (
            good && (
              <Group gap={6}>
                <IconCircleCheck size={16} color="var(--state-good)" />
                <Text size="sm">Understood, and in the draft.</Text>
              </Group>
            )
          )}
        </div>
      </Stack>
    </Panel>
  );
}

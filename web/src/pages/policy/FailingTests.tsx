import { Alert, Button, Group, List, Text } from "@mantine/core";
import { IconFlask } from "@tabler/icons-react";
import { plural } from "@/lib/words";
import { useEdit } from "./context";
import { failingTests } from "./draft";

/** A policy may carry tests of itself, as the presets do. After an edit they
 * may promise what is meant to be otherwise now: say so, and offer the way out. */
export function FailingTests() {
  const { draft, update, faults, readOnly } = useEdit();
  const failing = failingTests(faults);
  if (failing.length === 0) return null;
  return (
    <Alert
      color="yellow"
      variant="light"
      icon={<IconFlask />}
      title={`The policy no longer keeps ${plural(failing.length, "promise")} that it makes in its own tests`}
    >
      <Text size="sm">
        Tests say what a policy is meant to do, so that a change does not break it by oversight. If the change
        is meant, take them out; otherwise mend the change.
      </Text>
      <List size="sm" my="xs">
        {failing.slice(0, 8).map((f) => (
          <List.Item key={f.index} className="breakable">
            {draft.tests[f.index]?.name ?? `test ${f.index + 1}`}
            <Text span size="xs" c="dimmed">
              {" "}
              {f.message}
            </Text>
          </List.Item>
        ))}
        {failing.length > 8 && <List.Item>and {failing.length - 8} more</List.Item>}
      </List>
      {!readOnly && (
        <Group gap="xs">
          <Button
            size="xs"
            variant="default"
            onClick={() => {
              const out = new Set(failing.map((f) => f.index));
              update((d) => ({ ...d, tests: d.tests.filter((_, i) => !out.has(i)) }));
            }}
          >
            {failing.length === 1
              ? "The change is meant: take the test out"
              : "The change is meant: take these tests out"}
          </Button>
        </Group>
      )}
    </Alert>
  );
}

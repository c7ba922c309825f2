import { Alert, Group, Stack, Text } from "@mantine/core";
import { IconHandStop } from "@tabler/icons-react";
import { Problem } from "@/api/client";
import { ProblemAlert } from "@/components/Feedback";
import { Copy } from "@/components/Links";
import { inWords } from "@/lib/duration";

/** Why somebody is not let in: the engine's refusal with its reference, or any other problem. */
export function Refusal({ error }: { error: unknown }) {
  if (!error) return null;
  const reference = error instanceof Problem ? error.body.reference : undefined;
  const wait = error instanceof Problem ? error.retryAfter : 0;
  if (typeof reference !== "string" && !(wait > 0 && error instanceof Problem && error.status === 429)) {
    return error instanceof Problem &&
      error.faults.length === 0 &&
      error.status !== 0 &&
      error.status < 500 ? (
      <Alert role="alert" color="red" variant="light">
        {error.message}
      </Alert>
    ) : (
      <ProblemAlert error={error} />
    );
  }
  return (
    <Alert role="alert" color="red" variant="light" icon={<IconHandStop />} title="Not let in">
      <Stack gap={6}>
        <Text size="sm" className="breakable">
          {(error as Problem).message}
        </Text>
        {wait > 0 && (
          <Text size="sm">Try again in {inWords(wait > 120 ? Math.ceil(wait / 60) * 60 : wait)}.</Text>
        )}
        {typeof reference === "string" && (
          <Group gap={6}>
            <Text size="sm">
              Reference{" "}
              <Text span className="mono" fw={600}>
                {reference}
              </Text>
            </Text>
            <Copy value={reference} label="Copy the reference" />
          </Group>
        )}
      </Stack>
    </Alert>
  );
}

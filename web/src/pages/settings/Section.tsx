import { Button, Group, Stack, Text } from "@mantine/core";
import { IconLock } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { Problem } from "@/api/client";
import { ProblemAlert } from "@/components/Feedback";
import { Panel } from "@/components/Page";

/** A part of the settings with its own button to save. */
export function Section(props: {
  title: string;
  about?: ReactNode;
  aside?: ReactNode;
  form: {
    dirty: boolean;
    save: { mutate: () => void; isPending: boolean; error: unknown };
    reset: () => void;
  };
  /** The API found faults that no field shows. */
  faultsElsewhere?: boolean;
  children: ReactNode;
}) {
  const { dirty, save, reset } = props.form;
  const shown = save.error instanceof Problem && save.error.faults.length > 0 && !props.faultsElsewhere;
  return (
    <Panel title={props.title} aside={props.aside}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          save.mutate();
        }}
      >
        <Stack gap="md">
          {props.about && (
            <Text component="div" size="sm" c="dimmed" maw={720}>
              {props.about}
            </Text>
          )}
          {props.children}
          {save.error instanceof Problem && save.error.status === 412 ? (
            <Text size="sm" c="var(--mantine-color-error)" role="alert">
              Somebody else changed the settings meanwhile. What you wrote is still here: look at it and save
              again.
            </Text>
          ) : (
            !shown && <ProblemAlert error={save.error} />
          )}
          {dirty && (
            <Group gap="xs">
              <Button type="submit" size="sm" loading={save.isPending}>
                Save
              </Button>
              <Button variant="default" size="sm" onClick={reset}>
                Discard
              </Button>
            </Group>
          )}
        </Stack>
      </form>
    </Panel>
  );
}

/** Beside the label of a value that cannot be changed here. */
export function FixedLabel({ label, fixed }: { label: string; fixed: boolean }) {
  if (!fixed) return <>{label}</>;
  return (
    <Group component="span" gap={5} display="inline-flex">
      {label}
      <IconLock size={13} aria-hidden="true" />
      <Text span size="xs" c="dimmed" fw={400}>
        set by the configuration
      </Text>
    </Group>
  );
}

import { Button, Group, Stack, TextInput } from "@mantine/core";
import type { ReactNode } from "react";
import { ProblemAlert } from "./Feedback";

/** What a dialog does: a mutation without variables, as far as its form looks at it. */
type Deed = { mutate: () => void; isPending: boolean; error: unknown };

/** The form of a dialog: what it asks, what went wrong, then the way back and the deed. */
export function Ask(props: {
  children: ReactNode;
  deed: Deed;
  /** The words on the button that does it. */
  act: string;
  icon?: ReactNode;
  color?: string;
  /** Whether it can be done as it stands. */
  ready?: boolean;
  /** In place of the problem that the deed met; null where a field tells it. */
  problem?: ReactNode;
  close: () => void;
}) {
  const { deed, ready = true, problem = <ProblemAlert error={deed.error} /> } = props;
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        if (ready) deed.mutate();
      }}
    >
      <Stack gap="md">
        {props.children}
        {problem}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={props.close}>
            Cancel
          </Button>
          <Button
            type="submit"
            color={props.color}
            leftSection={props.icon}
            loading={deed.isPending}
            disabled={!ready}
          >
            {props.act}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

/** Why somebody does it, for whoever reads the audit trail later. */
export function ReasonInput(props: { value: string; onChange: (reason: string) => void }) {
  return (
    <TextInput
      label="Reason"
      placeholder="For the audit trail"
      maxLength={500}
      value={props.value}
      onChange={(e) => props.onChange(e.currentTarget.value)}
      data-autofocus
    />
  );
}

import { Group, Input, NativeSelect, NumberInput } from "@mantine/core";
import { useId } from "@mantine/hooks";
import { type ReactNode, useState } from "react";
import { bestUnit, units } from "@/lib/duration";

/** A length of time: a number and its unit, whole seconds in and out. undefined: empty. */
export function DurationInput(props: {
  label: ReactNode;
  /** The name for a screen reader where the label is not a plain text. */
  name?: string;
  description?: ReactNode;
  value: number | undefined;
  onChange: (seconds: number | undefined) => void;
  error?: ReactNode;
  disabled?: boolean;
  min?: number;
  /** What 0 means, such as "until lifted"; shown beside the seconds. */
  zero?: string;
}) {
  const id = useId();
  const [unit, setUnit] = useState(() => bestUnit(props.value));
  // A value that came from elsewhere and is no whole number of the unit.
  const shown = props.value !== undefined && props.value % unit !== 0 ? bestUnit(props.value) : unit;
  const name = props.name ?? (typeof props.label === "string" ? props.label : "Duration");
  const exact =
    props.value === undefined
      ? ""
      : props.value === 0 && props.zero
        ? `0 = ${props.zero}`
        : shown === 1
          ? ""
          : `= ${props.value.toLocaleString("en")} seconds`;
  return (
    <Input.Wrapper
      id={id}
      label={props.label}
      description={props.description}
      error={props.error}
      inputWrapperOrder={["label", "description", "input", "error"]}
    >
      <Group gap={6} wrap="wrap" align="center" mt={props.description ? 6 : 0}>
        <NumberInput
          id={id}
          aria-label={name}
          value={props.value === undefined ? "" : props.value / shown}
          onChange={(n) => props.onChange(typeof n === "number" ? Math.round(n * shown) : undefined)}
          min={props.min ?? 0}
          allowDecimal={false}
          allowNegative={false}
          thousandSeparator=","
          disabled={props.disabled}
          error={!!props.error}
          w={96}
        />
        <NativeSelect
          aria-label={`${name}: unit`}
          value={String(shown)}
          onChange={(e) => {
            const next = Number(e.currentTarget.value);
            setUnit(next);
            if (props.value) props.onChange((props.value / shown) * next);
          }}
          data={units.map((u) => ({ value: String(u.seconds), label: u.label }))}
          disabled={props.disabled}
          w={108}
        />
        <Input.Description component="span" style={{ whiteSpace: "nowrap" }}>
          {exact}
        </Input.Description>
      </Group>
    </Input.Wrapper>
  );
}

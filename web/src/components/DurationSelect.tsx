import { Group, NativeSelect, NumberInput } from "@mantine/core";
import { useState } from "react";

const units: [string, string][] = [
  ["60", "minutes"],
  ["3600", "hours"],
  ["86400", "days"],
];

/** Chooses a length of time in seconds: one of those on offer, or any other.
 * 0 is what `zero` says: "until lifted", "not at all". */
export function DurationSelect(props: {
  label: string;
  description?: string;
  value: number;
  onChange: (seconds: number) => void;
  zero: string;
  offers?: [number, string][];
}) {
  const offers: [number, string][] = props.offers ?? [
    [3600, "1 hour"],
    [86400, "24 hours"],
    [7 * 86400, "7 days"],
    [30 * 86400, "30 days"],
  ];
  const [own, setOwn] = useState(props.value !== 0 && !offers.some(([s]) => s === props.value));
  const [unit, setUnit] = useState(
    props.value % 86400 === 0 ? "86400" : props.value % 3600 === 0 ? "3600" : "60",
  );
  return (
    <Group gap="xs" align="flex-end" wrap="wrap">
      <NativeSelect
        style={{ flex: "1 1 160px" }}
        label={props.label}
        description={props.description}
        value={own ? "own" : String(props.value)}
        onChange={(e) => {
          const v = e.currentTarget.value;
          setOwn(v === "own");
          if (v !== "own") props.onChange(Number(v));
          else if (props.value === 0) props.onChange(2 * Number(unit));
        }}
        data={[
          { value: "0", label: props.zero },
          ...offers.map(([s, label]) => ({ value: String(s), label })),
          { value: "own", label: "Other…" },
        ]}
      />
      {own && (
        <>
          <NumberInput
            w={90}
            aria-label={`${props.label}: how many`}
            min={1}
            max={3650}
            allowDecimal={false}
            value={Math.max(1, Math.round(props.value / Number(unit)))}
            onChange={(n) => props.onChange(Math.max(1, Number(n) || 1) * Number(unit))}
          />
          <NativeSelect
            w={110}
            aria-label={`${props.label}: unit`}
            value={unit}
            onChange={(e) => {
              const next = e.currentTarget.value;
              props.onChange(Math.max(1, Math.round(props.value / Number(unit))) * Number(next));
              setUnit(next);
            }}
            data={units.map(([value, label]) => ({ value, label }))}
          />
        </>
      )}
    </Group>
  );
}

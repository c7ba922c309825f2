import { TextInput, type TextInputProps } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { IconSearch } from "@tabler/icons-react";
import { useState } from "react";
import { parseAddress } from "@/lib/address";

/** Takes what is typed as a filter once the typing rests; what `check` finds fault with, never. */
export function FindInput(props: {
  label: string;
  placeholder?: string;
  value: string;
  set: (v: string | undefined) => void;
  /** Says what is wrong with it; undefined where nothing is. */
  check?: (v: string) => string | undefined;
  w?: TextInputProps["w"];
}) {
  const [typed, setTyped] = useState<string>();
  const fault = typed?.trim() ? props.check?.(typed.trim()) : undefined;
  const later = useDebouncedCallback((v: string) => {
    const t = v.trim();
    if (t && props.check?.(t)) return;
    props.set(t || undefined);
    setTyped(undefined);
  }, 400);
  return (
    <TextInput
      size="xs"
      w={props.w ?? { base: "100%", xs: 210 }}
      aria-label={props.label}
      placeholder={props.placeholder ?? props.label}
      leftSection={<IconSearch size={14} />}
      value={typed ?? props.value}
      error={fault}
      onChange={(e) => {
        setTyped(e.currentTarget.value);
        later(e.currentTarget.value);
      }}
    />
  );
}

/** The fault of what is no address and no prefix yet. */
export const addressFault = (v: string) => (parseAddress(v) ? undefined : "No address and no prefix yet");

import { Input, SegmentedControl } from "@mantine/core";
import { useId } from "@mantine/hooks";
import type { ReactNode } from "react";
import type { Action } from "./draft";

/** CAPTCHA, MFA or block. */
export function ActionPicker(props: {
  label: string;
  value: Action;
  onChange: (action: Action) => void;
  error?: ReactNode;
  description?: ReactNode;
  disabled?: boolean;
}) {
  const id = useId();
  return (
    <Input.Wrapper
      label={props.label}
      labelElement="div"
      labelProps={{ id }}
      description={props.description}
      error={props.error}
    >
      <div>
        <SegmentedControl
          aria-labelledby={id}
          value={props.value}
          onChange={(v) => props.onChange(v as Action)}
          disabled={props.disabled}
          data={[
            { value: "challenge", label: "CAPTCHA" },
            { value: "mfa", label: "MFA" },
            { value: "block", label: "Block" },
          ]}
        />
      </div>
    </Input.Wrapper>
  );
}

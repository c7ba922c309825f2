import { PasswordInput, Progress, Stack, Text } from "@mantine/core";

const least = 12;

/** A new password, with the one rule there is: it is long. */
export function NewPassword(props: {
  label?: string;
  value: string;
  onChange: (value: string) => void;
  error?: string;
  autoFocus?: boolean;
}) {
  const n = [...props.value].length;
  return (
    <Stack gap={6}>
      <PasswordInput
        label={props.label ?? "Password"}
        description={`At least ${least} characters. A sentence is easy to remember and hard to guess.`}
        autoComplete="new-password"
        value={props.value}
        onChange={(e) => props.onChange(e.currentTarget.value)}
        error={props.error}
        required
        withAsterisk={false}
        autoFocus={props.autoFocus}
        visibilityToggleButtonProps={{ "aria-label": "Show the password" }}
      />
      {n > 0 && (
        <>
          <Progress
            value={Math.min(100, (n / 20) * 100)}
            size={4}
            color={n < least ? "orange" : "warder"}
            aria-label="Length of the password"
          />
          <Text size="xs" c="dimmed">
            {n < least ? `${least - n} more to go` : n < 20 ? "Long enough" : "Very good"}
          </Text>
        </>
      )}
    </Stack>
  );
}

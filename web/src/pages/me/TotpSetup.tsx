import { Button, Group, PinInput, Stack, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { api, Declined, data } from "@/api/client";
import { Loading, ProblemAlert } from "@/components/Feedback";
import { CopyableText } from "@/components/Links";
import { proven } from "@/components/Prove";
import { Qr } from "@/components/Qr";
import { RecoveryCodes } from "./RecoveryCodes";

/** Sets up an authenticator app: a QR code that is drawn here, the first code, the recovery codes. */
export function TotpSetup({ onDone, onCancel }: { onDone: () => void; onCancel?: () => void }) {
  const [code, setCode] = useState("");
  const begin = useMutation({ mutationFn: () => proven(() => data(api.POST("/v1/me/totp"))) });
  const confirm = useMutation({
    mutationFn: (value: string) => data(api.POST("/v1/me/totp/confirm", { body: { code: value } })),
    onError: () => setCode(""),
  });
  const begun = useRef(false);
  const { mutate } = begin;
  useEffect(() => {
    if (!begun.current) mutate();
    begun.current = true;
  }, [mutate]);
  if (confirm.data) return <RecoveryCodes codes={confirm.data.recovery_codes} onDone={onDone} />;
  if (begin.error instanceof Declined) {
    return (
      <Group gap="xs">
        <Button onClick={() => begin.mutate()}>Make a secret</Button>
        {onCancel && (
          <Button variant="default" onClick={onCancel}>
            Not now
          </Button>
        )}
      </Group>
    );
  }
  if (begin.error) return <ProblemAlert error={begin.error} retry={() => begin.mutate()} />;
  if (!begin.data) return <Loading label="Making a secret" />;
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        confirm.mutate(code);
      }}
    >
      <Group align="flex-start" gap="lg">
        <Qr rows={begin.data.qr} label="QR code for the authenticator app" />
        <Stack gap="md" flex={1} miw={250}>
          <Text size="sm">
            Scan this with an authenticator app. It is drawn in your browser and goes nowhere else.
          </Text>
          <div>
            <Text size="xs" c="dimmed">
              Or type the secret
            </Text>
            <CopyableText value={begin.data.secret} label="Copy the secret" />
          </div>
          <div>
            <Text size="sm" fw={600} mb={4}>
              The code that the app shows now
            </Text>
            <PinInput
              length={6}
              type="number"
              oneTimeCode
              aria-label="Code of the authenticator app"
              getInputProps={(i) => ({ "aria-label": `Digit ${i + 1} of 6` })}
              value={code}
              onChange={setCode}
              onComplete={(value) => confirm.mutate(value)}
              error={confirm.isError}
            />
          </div>
          <ProblemAlert error={confirm.error} />
          <Group gap="xs">
            <Button type="submit" loading={confirm.isPending} disabled={code.length < 6}>
              Switch it on
            </Button>
            {onCancel && (
              <Button variant="default" onClick={onCancel}>
                Not now
              </Button>
            )}
          </Group>
        </Stack>
      </Group>
    </form>
  );
}

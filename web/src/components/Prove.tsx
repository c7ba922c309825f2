import { PasswordInput, Text } from "@mantine/core";
import { modals } from "@mantine/modals";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { api, Declined, data, Problem } from "@/api/client";
import { faultAt, faultsOf } from "@/lib/faults";
import { Ask } from "./Ask";
import { ProblemAlert } from "./Feedback";

/**
 * Runs what the API allows only to whoever has just proved to be the same
 * person: asks for the password once more if it has to be, then runs it again.
 * Throws Declined if nobody gives it.
 */
export async function proven<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (e) {
    if (!(e instanceof Problem) || e.body.type !== "urn:warder:prove") throw e;
  }
  await ask();
  return run();
}

function ask(): Promise<void> {
  return new Promise((resolve, reject) => {
    let done = false;
    const id = modals.open({
      title: "Is it still you?",
      onClose: () => (done ? resolve() : reject(new Declined())),
      children: (
        <ProveForm
          onDone={() => {
            done = true;
            modals.close(id);
          }}
          onCancel={() => modals.close(id)}
        />
      ),
    });
  });
}

function ProveForm({ onDone, onCancel }: { onDone: () => void; onCancel: () => void }) {
  const [secret, setSecret] = useState("");
  const digits = /^\s*\d{3}\s?\d{3}\s*$/.test(secret);
  const prove = useMutation({
    mutationFn: () =>
      data(
        api.POST("/v1/me/prove", {
          body: digits ? { code: secret.replace(/\s/g, "") } : { password: secret },
        }),
      ),
    onSuccess: onDone,
    onError: () => setSecret(""),
  });
  const faults = faultsOf(prove.error);
  const fault = faultAt(faults, "password") ?? faultAt(faults, "code");
  return (
    <Ask
      deed={prove}
      act="Go on"
      ready={secret !== ""}
      close={onCancel}
      problem={!fault && <ProblemAlert error={prove.error} />}
    >
      <Text size="sm">
        You signed in a while ago. Before what signs you in can be changed, give your password once more, or a
        code of your authenticator app.
      </Text>
      <PasswordInput
        label="Password or code"
        autoComplete="current-password"
        value={secret}
        onChange={(e) => setSecret(e.currentTarget.value)}
        error={fault}
        visibilityToggleButtonProps={{ "aria-label": "Show the password" }}
        data-autofocus
      />
    </Ask>
  );
}

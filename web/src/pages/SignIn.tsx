import { Anchor, Button, Divider, PasswordInput, PinInput, Stack, Text, TextInput } from "@mantine/core";
import { IconFingerprint } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { api, data, Problem, type Schemas } from "@/api/client";
import { Loading, ProblemAlert } from "@/components/Feedback";
import { solve } from "@/lib/pow";
import { useSearchState } from "@/lib/search";
import { passkeysWork, passkeyTrouble, provePasskey } from "@/lib/webauthn";
import { enter } from "./door/after";
import { Door } from "./door/Door";
import { Refusal } from "./door/Refusal";

type State = Schemas["SignInState"];

/** Signing in: password, then a second factor if there is one; or a passkey for both. */
export default function SignIn() {
  const [search] = useSearchState();
  const session = useQuery({
    queryKey: ["session"],
    queryFn: () => data(api.GET("/v1/session")),
    staleTime: 0,
    gcTime: 0,
  });
  const [state, setState] = useState<State>();
  const now = state ?? session.data;
  const inside = now?.state === "signed_in";
  useEffect(() => {
    if (inside) enter(search.to);
  }, [inside, search.to]);
  if (session.error && !now) {
    return (
      <Door title="Sign in">
        <ProblemAlert error={session.error} retry={session.refetch} />
      </Door>
    );
  }
  if (!now || inside) {
    return (
      <Door title="Sign in">
        <Loading label="Loading" />
      </Door>
    );
  }
  if (now.state === "second_factor") return <SecondFactor state={now} onState={setState} />;
  if (now.setup_needed) {
    return (
      <Door title="Warder is not set up yet">
        <Text size="sm">
          Open the link that Warder printed when it started. It works once, for 24 hours; a restart prints a
          new one.
        </Text>
      </Door>
    );
  }
  return <Password onState={setState} />;
}

function usePasskey(onState: (s: State) => void) {
  return useMutation({
    mutationFn: async () => {
      const { options } = await data(api.POST("/v1/session/passkey/options"));
      const credential = await provePasskey(options);
      return data(api.POST("/v1/session/passkey", { body: { credential } }));
    },
    onSuccess: onState,
  });
}

function PasskeyTrouble({ error }: { error: unknown }) {
  const trouble = passkeyTrouble(error);
  return trouble ? (
    <Text size="sm" c="dimmed" role="alert">
      {trouble}
    </Text>
  ) : (
    <Refusal error={error} />
  );
}

function Password({ onState }: { onState: (s: State) => void }) {
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [solving, setSolving] = useState(false);
  const passkey = usePasskey(onState);
  const signIn = useMutation({
    mutationFn: async () => {
      const send = (clearance?: string) =>
        data(api.POST("/v1/session", { body: { email, password, ...(clearance ? { clearance } : {}) } }));
      try {
        return await send();
      } catch (e) {
        // Somebody guesses at this account or from this address: the browser
        // does a second of work, which costs one person little and a guesser much.
        const posed =
          e instanceof Problem ? (e.body.challenge as Schemas["PosedAnswer"] | undefined) : undefined;
        if (!posed) throw e;
        setSolving(true);
        try {
          return await send(await solve(posed.challenge));
        } finally {
          setSolving(false);
        }
      }
    },
    onSuccess: onState,
  });
  return (
    <Door title="Sign in">
      <form
        onSubmit={(e) => {
          e.preventDefault();
          passkey.reset();
          signIn.mutate();
        }}
      >
        <Stack gap="md">
          <TextInput
            label="E-mail address"
            type="email"
            autoComplete="username"
            value={email}
            onChange={(e) => setEmail(e.currentTarget.value)}
            required
            withAsterisk={false}
            autoFocus
          />
          <PasswordInput
            label="Password"
            autoComplete="current-password"
            value={password}
            onChange={(e) => setPassword(e.currentTarget.value)}
            required
            withAsterisk={false}
            visibilityToggleButtonProps={{ "aria-label": "Show the password" }}
          />
          <Refusal error={signIn.error} />
          <Button type="submit" fullWidth loading={signIn.isPending}>
            Sign in
          </Button>
          {solving && (
            <Text size="sm" c="dimmed" role="status">
              Your browser is proving that it is not a guessing machine. This takes a few seconds.
            </Text>
          )}
        </Stack>
      </form>
      {passkeysWork() && (
        <Stack gap="md">
          <Divider label="or" />
          <Button
            variant="default"
            fullWidth
            leftSection={<IconFingerprint size={17} />}
            loading={passkey.isPending}
            onClick={() => {
              signIn.reset();
              passkey.mutate();
            }}
          >
            Sign in with a passkey
          </Button>
          <PasskeyTrouble error={passkey.error} />
        </Stack>
      )}
    </Door>
  );
}

function SecondFactor({ state, onState }: { state: State; onState: (s: State | undefined) => void }) {
  const has = (m: string) => state.methods.includes(m);
  const [recovering, setRecovering] = useState(!has("totp") && !has("passkey"));
  const [code, setCode] = useState("");
  const passkey = usePasskey(onState);
  const verify = useMutation({
    mutationFn: (value: string) =>
      recovering
        ? data(api.POST("/v1/session/recovery", { body: { code: value.trim() } }))
        : data(api.POST("/v1/session/totp", { body: { code: value } })),
    onSuccess: onState,
    onError: () => setCode(""),
  });
  const back = useMutation({
    mutationFn: () => api.DELETE("/v1/session"),
    onSettled: () => window.location.reload(),
  });
  const totp = has("totp") && !recovering;
  return (
    <Door
      title="One more step"
      about={
        recovering
          ? "Give one of the recovery codes that you wrote down. Each works once."
          : totp
            ? "Give the six digits that your authenticator app shows now."
            : "Confirm with your passkey."
      }
    >
      {(totp || recovering) && (
        <form
          onSubmit={(e) => {
            e.preventDefault();
            verify.mutate(code);
          }}
        >
          <Stack gap="md">
            {recovering ? (
              <TextInput
                label="Recovery code"
                value={code}
                onChange={(e) => setCode(e.currentTarget.value)}
                autoComplete="off"
                autoFocus
                classNames={{ input: "mono" }}
                spellCheck={false}
              />
            ) : (
              <PinInput
                key={verify.submittedAt} // a wrong code leads back to the first digit
                length={6}
                type="number"
                oneTimeCode
                autoFocus
                aria-label="Code of the authenticator app"
                getInputProps={(i) => ({ "aria-label": `Digit ${i + 1} of 6` })}
                value={code}
                onChange={setCode}
                onComplete={(value) => verify.mutate(value)}
                size="md"
                style={{ justifyContent: "center" }}
              />
            )}
            <Refusal error={verify.error} />
            <Button type="submit" fullWidth loading={verify.isPending} disabled={code.length < 6}>
              Go on
            </Button>
          </Stack>
        </form>
      )}
      {has("passkey") && !recovering && passkeysWork() && (
        <Stack gap="md">
          {totp && <Divider label="or" />}
          <Button
            variant={totp ? "default" : "filled"}
            fullWidth
            leftSection={<IconFingerprint size={17} />}
            loading={passkey.isPending}
            onClick={() => passkey.mutate()}
          >
            Use a passkey
          </Button>
          <PasskeyTrouble error={passkey.error} />
        </Stack>
      )}
      <Stack gap={6} align="flex-start">
        {has("recovery") && (
          <Anchor
            component="button"
            type="button"
            size="sm"
            onClick={() => {
              setRecovering((r) => !r);
              setCode("");
              verify.reset();
            }}
          >
            {recovering ? "Back to the other ways" : "Use a recovery code"}
          </Anchor>
        )}
        <Anchor component="button" type="button" size="sm" onClick={() => back.mutate()}>
          Sign in as somebody else
        </Anchor>
      </Stack>
    </Door>
  );
}

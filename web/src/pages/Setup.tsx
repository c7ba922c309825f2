import {
  Alert,
  Button,
  Code,
  Group,
  List,
  NativeSelect,
  NumberInput,
  PasswordInput,
  Radio,
  Stack,
  Stepper,
  Switch,
  Text,
  Textarea,
  TextInput,
} from "@mantine/core";
import { IconAlertTriangle, IconArrowRight, IconCircleCheck, IconShieldCheck } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { api, data, Problem, type Schemas } from "@/api/client";
import { Loading, ProblemAlert } from "@/components/Feedback";
import { NewPassword } from "@/components/NewPassword";
import { faultAt, faultsOf } from "@/lib/faults";
import { lines } from "@/lib/lines";
import { Door, ToSignIn } from "./door/Door";
import { Refusal } from "./door/Refusal";
import { tokenOfLink } from "./door/token";
import { TotpSetup } from "./me/TotpSetup";
import { presetFacts, presetWords } from "./policy/Presets";
import { useTestMail } from "./settings/useTestMail";

const titles = ["Account", "Protection", "Network", "Mail", "Second factor", "Done"];

/** The first run: who owns this Warder, how it protects, how it is reached. */
export default function Setup() {
  const [token] = useState(tokenOfLink);
  const [step, setStep] = useState(0);
  const [account, setAccount] = useState({ email: "", name: "", password: "" });
  const [preset, setPreset] = useState("classic");
  const [ipsum, setIpsum] = useState(true);
  const view = useQuery({
    queryKey: ["setup", token],
    queryFn: () => data(api.GET("/v1/setup", { params: { query: { token } } })),
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: false,
  });
  const setUp = useMutation({
    mutationFn: () =>
      data(
        api.POST("/v1/setup", {
          body: {
            token,
            email: account.email.trim(),
            name: account.name.trim(),
            password: account.password,
            ...(view.data?.presets.length ? { preset, ipsum } : {}),
          },
        }),
      ),
    onSuccess: () => {
      setAccount((a) => ({ ...a, password: "" }));
      setStep(2);
    },
    onError: (e) => {
      const faults = faultsOf(e);
      if (["email", "name", "password"].some((f) => faultAt(faults, f))) setStep(0);
    },
  });
  useEffect(() => {
    document.title = "Set up · Warder";
  }, []);
  if (view.error && !view.data) {
    return (
      <Door title="Set up Warder">
        <ProblemAlert error={view.error} retry={view.refetch} />
      </Door>
    );
  }
  if (!view.data) {
    return (
      <Door title="Set up Warder">
        <Loading label="Looking at the link" />
      </Door>
    );
  }
  if (!view.data.token_ok && step < 2) {
    return (
      <Door title={view.data.needed ? "The link does not work" : "Warder is set up"}>
        <Text size="sm">
          {token === "" && view.data.needed
            ? "Open the link that Warder printed when it started, the whole of it. A restart prints a new one."
            : view.data.problem}
        </Text>
        {!view.data.needed && <ToSignIn />}
      </Door>
    );
  }
  const faults = faultsOf(setUp.error);
  const next = () => setStep((s) => s + 1);
  return (
    <Door title={step === 5 ? "Warder is ready" : "Set up Warder"} wide>
      <Stepper
        active={step}
        size="xs"
        iconSize={26}
        aria-label="Steps of the set-up"
        visibleFrom="sm"
        allowNextStepsSelect={false}
      >
        {titles.slice(0, 5).map((t) => (
          <Stepper.Step key={t} label={t} />
        ))}
      </Stepper>
      <Text size="sm" c="dimmed" hiddenFrom="sm">
        Step {Math.min(step + 1, 5)} of 5: {titles[step]}
      </Text>
      {step === 0 && (
        <form
          onSubmit={(e) => {
            e.preventDefault();
            next();
          }}
        >
          <Stack gap="md" maw={420}>
            <Text size="sm" c="dimmed">
              The first owner. Others can be invited afterwards.
            </Text>
            <TextInput
              label="E-mail address"
              description="You sign in with it, and alerts go there."
              type="email"
              autoComplete="username"
              value={account.email}
              onChange={(e) => setAccount({ ...account, email: e.currentTarget.value })}
              error={faultAt(faults, "email")}
              required
              withAsterisk={false}
              autoFocus
            />
            <TextInput
              label="Name"
              description="As others see it. Optional."
              autoComplete="name"
              value={account.name}
              onChange={(e) => setAccount({ ...account, name: e.currentTarget.value })}
              error={faultAt(faults, "name")}
              maxLength={100}
            />
            <NewPassword
              value={account.password}
              onChange={(password) => setAccount({ ...account, password })}
              error={faultAt(faults, "password")}
            />
            <Group>
              <Button
                type="submit"
                rightSection={<IconArrowRight size={16} />}
                disabled={[...account.password].length < 12}
              >
                Next
              </Button>
            </Group>
          </Stack>
        </form>
      )}
      {step === 1 && (
        <form
          onSubmit={(e) => {
            e.preventDefault();
            setUp.mutate();
          }}
        >
          <Stack gap="md">
            <Protection
              presets={view.data.presets}
              preset={preset}
              onPreset={setPreset}
              ipsum={ipsum}
              onIpsum={setIpsum}
            />
            <Refusal error={setUp.error} />
            <Group>
              <Button variant="default" onClick={() => setStep(0)}>
                Back
              </Button>
              <Button type="submit" loading={setUp.isPending} rightSection={<IconArrowRight size={16} />}>
                Make the account and go on
              </Button>
            </Group>
          </Stack>
        </form>
      )}
      {step === 2 && <Network client={view.data.client} onDone={next} />}
      {step === 3 && <Mail email={account.email} onDone={next} />}
      {step === 4 && (
        <Stack gap="md">
          <Text size="sm" c="dimmed">
            The dashboard can lift every block, so its own door should have a second lock. It takes a minute.
          </Text>
          <TotpSetup onDone={next} onCancel={next} />
        </Stack>
      )}
      {step === 5 && (
        <Stack gap="md">
          <Alert variant="light" icon={<IconCircleCheck />} title="Everything is in place">
            You are signed in. What is missing is an application that tells Warder of its sign-ins.
          </Alert>
          <Group>
            <Button component="a" href="/start" rightSection={<IconArrowRight size={16} />}>
              Send the first event
            </Button>
            <Button component="a" href="/" variant="default">
              To the security events
            </Button>
          </Group>
        </Stack>
      )}
    </Door>
  );
}

function Protection(props: {
  presets: Schemas["PresetView"][];
  preset: string;
  onPreset: (p: string) => void;
  ipsum: boolean;
  onIpsum: (on: boolean) => void;
}) {
  if (props.presets.length === 0) {
    return (
      <Alert variant="light" color="gray">
        A file rules the policy (<Code>policy_file</Code>): there is nothing to choose here.
      </Alert>
    );
  }
  return (
    <Stack gap="md">
      <Radio.Group
        label="How Warder protects"
        description="Everything can be changed later under Policy."
        value={props.preset}
        onChange={props.onPreset}
      >
        <Stack gap="xs" mt="xs">
          {props.presets.map((p) => (
            <Radio.Card
              key={p.name}
              value={p.name}
              p="sm"
              radius="md"
              aria-label={presetWords[p.name]?.title ?? p.name}
            >
              <Group wrap="nowrap" align="flex-start" gap="sm">
                <Radio.Indicator mt={2} />
                <div>
                  <Text fw={600} size="sm">
                    {presetWords[p.name]?.title ?? p.name}
                  </Text>
                  <Text size="sm" c="dimmed">
                    {presetWords[p.name]?.about ?? presetFacts(p.document).join(", ")}
                  </Text>
                </div>
              </Group>
            </Radio.Card>
          ))}
        </Stack>
      </Radio.Group>
      <Switch
        label="Use IPsum"
        description="A list of known attackers, joined daily from thirty public ones. Addresses on three of them or more see a CAPTCHA, on five or more a block. Fetched from raw.githubusercontent.com."
        checked={props.ipsum}
        onChange={(e) => props.onIpsum(e.currentTarget.checked)}
      />
    </Stack>
  );
}

function Network({ client, onDone }: { client?: Schemas["SetupClient"]; onDone: () => void }) {
  const [wrong, setWrong] = useState(Boolean(client?.problem));
  const [proxies, setProxies] = useState(client?.problem && client.peer ? client.peer : "");
  const save = useMutation({
    mutationFn: async () => {
      await api.PUT("/v1/settings", { body: { trusted_proxies: lines(proxies) } });
      return data(api.GET("/v1/settings"));
    },
  });
  const faults = faultsOf(save.error);
  const seen = save.data?.client ?? client?.address;
  return (
    <Stack gap="md">
      <Text size="lg">
        We see you as <b className="mono">{seen || "nobody"}</b>: correct?
      </Text>
      <Text size="sm" c="dimmed">
        Everything that Warder does hangs on the right address. If a proxy stands between, it has to be named,
        or all people look like the proxy.
      </Text>
      {client?.problem && !save.data && (
        <Alert color="yellow" variant="light" icon={<IconAlertTriangle />} title="This looks wrong">
          {client.problem}
        </Alert>
      )}
      {client && client.forwarded.length > 0 && (
        <div>
          <Text size="xs" c="dimmed">
            The request came from {client.peer} and says
          </Text>
          <List size="sm" listStyleType="none">
            {client.forwarded.map((f) => (
              <List.Item key={f}>
                <Text size="sm" className="mono breakable">
                  {f}
                </Text>
              </List.Item>
            ))}
          </List>
        </div>
      )}
      {wrong && (
        <form
          onSubmit={(e) => {
            e.preventDefault();
            save.mutate();
          }}
        >
          <Stack gap="sm">
            <Textarea
              label="Trusted proxies"
              description="Addresses or prefixes of the proxies in front of Warder, one in each line."
              placeholder={"10.0.0.5\n10.1.0.0/24"}
              value={proxies}
              onChange={(e) => setProxies(e.currentTarget.value)}
              error={faultAt(faults, "trusted_proxies")}
              autosize
              minRows={2}
              maxRows={8}
              maw={420}
              classNames={{ input: "mono" }}
              spellCheck={false}
            />
            {Object.keys(faults).length === 0 && <ProblemAlert error={save.error} />}
            <Group>
              <Button type="submit" variant="default" loading={save.isPending}>
                Save and look again
              </Button>
            </Group>
          </Stack>
        </form>
      )}
      <Group>
        <Button onClick={onDone} rightSection={<IconArrowRight size={16} />}>
          {wrong && !save.data ? "Go on all the same" : "Yes, that is me"}
        </Button>
        {!wrong && (
          <Button variant="default" onClick={() => setWrong(true)}>
            No, there is a proxy
          </Button>
        )}
      </Group>
    </Stack>
  );
}

const usualPort: Record<string, number> = { starttls: 587, implicit: 465, none: 25 };

function Mail({ email, onDone }: { email: string; onDone: () => void }) {
  const [form, setForm] = useState({
    host: "",
    tls: "starttls" as "starttls" | "implicit" | "none",
    port: 587 as number | "",
    user: "",
    password: "",
    from: "",
  });
  const set = (change: Partial<typeof form>) => setForm((f) => ({ ...f, ...change }));
  const test = useTestMail();
  const save = useMutation({
    mutationFn: () =>
      data(
        api.PUT("/v1/settings", {
          body: {
            smtp: {
              host: form.host.trim(),
              tls: form.tls,
              ...(form.port !== "" ? { port: form.port } : {}),
              user: form.user,
              password: form.password,
              from: form.from.trim(),
            },
          },
        }),
      ),
    onSuccess: () => test.mutate(email ? [email] : []),
  });
  const faults = faultsOf(save.error);
  const fault = (name: string) => faultAt(faults, `smtp.${name}`);
  const sent = test.data?.items.every((i) => i.ok);
  return (
    <Stack gap="md">
      <Text size="sm" c="dimmed">
        Alerts go out by mail. Without a mail server they are written to files, and nobody is told; it can be
        added later under Settings.
      </Text>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          save.mutate();
        }}
      >
        <Stack gap="md">
          <Group gap="md" align="flex-start">
            <TextInput
              label="Server"
              placeholder="smtp.example.org"
              value={form.host}
              onChange={(e) => set({ host: e.currentTarget.value })}
              error={fault("host")}
              flex={1}
              miw={200}
              autoFocus
            />
            <NativeSelect
              label="Encryption"
              value={form.tls}
              onChange={(e) => {
                const tls = e.currentTarget.value as typeof form.tls;
                set({ tls, ...(form.port === usualPort[form.tls] ? { port: usualPort[tls] ?? "" } : {}) });
              }}
              data={[
                { value: "starttls", label: "STARTTLS" },
                { value: "implicit", label: "TLS from the beginning" },
                { value: "none", label: "None" },
              ]}
              error={fault("tls")}
              w={190}
            />
            <NumberInput
              label="Port"
              value={form.port}
              onChange={(n) => set({ port: typeof n === "number" ? n : "" })}
              error={fault("port")}
              min={1}
              max={65535}
              allowDecimal={false}
              w={100}
            />
          </Group>
          <Group gap="md" align="flex-start" grow>
            <TextInput
              label="User"
              value={form.user}
              onChange={(e) => set({ user: e.currentTarget.value })}
              error={fault("user")}
              autoComplete="off"
            />
            <PasswordInput
              label="Password"
              value={form.password}
              onChange={(e) => set({ password: e.currentTarget.value })}
              error={fault("password")}
              autoComplete="new-password"
              visibilityToggleButtonProps={{ "aria-label": "Show the password" }}
            />
          </Group>
          <TextInput
            label="Sender"
            placeholder="Warder <warder@example.org>"
            value={form.from}
            onChange={(e) => set({ from: e.currentTarget.value })}
            error={fault("from")}
          />
          {Object.keys(faults).length === 0 && save.error instanceof Problem && (
            <ProblemAlert error={save.error} />
          )}
          {test.result}
          <Group>
            <Button
              type="submit"
              variant={sent ? "default" : "filled"}
              loading={save.isPending || test.isPending}
              disabled={form.host.trim() === ""}
            >
              Save and send a test
            </Button>
            <Button
              variant={sent ? "filled" : "default"}
              onClick={onDone}
              leftSection={sent ? <IconShieldCheck size={16} /> : undefined}
            >
              {sent ? "It arrived: go on" : "Go on without"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Stack>
  );
}

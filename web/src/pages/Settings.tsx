import {
  Alert,
  Anchor,
  Button,
  Group,
  NativeSelect,
  NumberInput,
  PasswordInput,
  Stack,
  Text,
  Textarea,
  TextInput,
} from "@mantine/core";
import { IconMailForward, IconRefreshAlert } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { DurationInput } from "@/components/DurationInput";
import { Loading, ProblemAlert } from "@/components/Feedback";
import { Page } from "@/components/Page";
import { lines } from "@/lib/lines";
import { useMe } from "@/lib/me";
import { RetentionSection } from "./settings/Retention";
import { FixedLabel, Section } from "./settings/Section";
import { useSection, useSettings, type Settings as Values } from "./settings/useSettings";
import { useTestMail } from "./settings/useTestMail";

type Current = { settings: Values; etag: string };

/** What can be set while Warder runs: mail, proxies, public pages, retention, sessions. */
export default function Settings() {
  const { can } = useMe();
  const current = useSettings();
  const readOnly = !can("admin");
  return (
    <Page
      title="Settings"
      about="Takes effect at once. What the configuration file or the environment sets is shown with a lock and is changed there."
    >
      {current.data ? (
        <>
          {current.data.settings.restart_needed.length > 0 && (
            <Alert color="yellow" variant="light" icon={<IconRefreshAlert />} title="A restart is needed">
              These were changed and take effect when Warder starts again:{" "}
              <code>{current.data.settings.restart_needed.join(", ")}</code>
            </Alert>
          )}
          <Mail current={current.data} readOnly={readOnly} />
          <Proxies current={current.data} readOnly={readOnly} />
          <Public current={current.data} readOnly={readOnly} />
          <RetentionSection current={current.data} readOnly={readOnly} />
          <Sessions current={current.data} readOnly={readOnly} />
        </>
      ) : current.error ? (
        <ProblemAlert error={current.error} retry={current.refetch} />
      ) : (
        <Loading label="Loading the settings" />
      )}
    </Page>
  );
}

const usualPort: Record<string, number> = { starttls: 587, implicit: 465, none: 25 };

function Mail({ current, readOnly }: { current: Current; readOnly: boolean }) {
  const form = useSection(
    current,
    (s) => ({
      host: s.smtp.host,
      port: s.smtp.port as number | "",
      tls: s.smtp.tls,
      user: s.smtp.user,
      from: s.smtp.from,
      password: undefined as string | undefined,
    }),
    (v) => ({
      smtp: {
        host: v.host.trim(),
        ...(v.port !== "" ? { port: v.port } : {}),
        tls: v.tls,
        user: v.user,
        from: v.from.trim(),
        // What is not given stays as it is.
        ...(v.password !== undefined ? { password: v.password } : v.user === "" ? { password: "" } : {}),
      },
    }),
  );
  const { value, set, fault, fixed } = form;
  const off = (name: string) => readOnly || fixed(`smtp.${name}`);
  const test = useTestMail();
  return (
    <Section
      title="Mail"
      about={
        current.settings.smtp.host
          ? "The server that takes alerts, invitations and links for new passwords."
          : "No mail server yet: alerts are written to files in the data directory, and nobody is told."
      }
      form={form}
      aside={
        !readOnly && (
          <Button
            size="xs"
            variant="default"
            leftSection={<IconMailForward size={14} />}
            loading={test.isPending}
            disabled={form.dirty}
            onClick={() => test.mutate([])}
          >
            Send a test
          </Button>
        )
      }
    >
      <Group gap="md" align="flex-start">
        <TextInput
          label={<FixedLabel label="Server" fixed={fixed("smtp.host")} />}
          placeholder="smtp.example.org"
          value={value.host}
          onChange={(e) => set({ host: e.currentTarget.value })}
          error={fault("smtp.host")}
          disabled={off("host")}
          w={{ base: "100%", sm: 280 }}
        />
        <NativeSelect
          label={<FixedLabel label="Encryption" fixed={fixed("smtp.tls")} />}
          value={value.tls}
          onChange={(e) => {
            const tls = e.currentTarget.value as typeof value.tls;
            set({ tls, ...(value.port === usualPort[value.tls] ? { port: usualPort[tls] ?? "" } : {}) });
          }}
          data={[
            { value: "starttls", label: "STARTTLS" },
            { value: "implicit", label: "TLS from the beginning" },
            { value: "none", label: "None" },
          ]}
          error={fault("smtp.tls")}
          disabled={off("tls")}
          w={200}
        />
        <NumberInput
          label={<FixedLabel label="Port" fixed={fixed("smtp.port")} />}
          value={value.port}
          onChange={(n) => set({ port: typeof n === "number" ? n : "" })}
          error={fault("smtp.port")}
          disabled={off("port")}
          min={1}
          max={65535}
          allowDecimal={false}
          w={110}
        />
      </Group>
      <Group gap="md" align="flex-start">
        <TextInput
          label={<FixedLabel label="User" fixed={fixed("smtp.user")} />}
          value={value.user}
          onChange={(e) => set({ user: e.currentTarget.value })}
          error={fault("smtp.user")}
          disabled={off("user")}
          autoComplete="off"
          w={{ base: "100%", sm: 280 }}
        />
        <PasswordInput
          label={<FixedLabel label="Password" fixed={fixed("smtp.password")} />}
          placeholder={current.settings.smtp.password_set ? "set; not shown" : "none"}
          value={value.password ?? ""}
          onChange={(e) => set({ password: e.currentTarget.value || undefined })}
          error={fault("smtp.password")}
          disabled={off("password")}
          autoComplete="new-password"
          visibilityToggleButtonProps={{ "aria-label": "Show the password" }}
          w={{ base: "100%", sm: 326 }}
        />
      </Group>
      <TextInput
        label={<FixedLabel label="Sender" fixed={fixed("smtp.from")} />}
        placeholder="Warder <warder@example.org>"
        value={value.from}
        onChange={(e) => set({ from: e.currentTarget.value })}
        error={fault("smtp.from")}
        disabled={off("from")}
        maw={622}
      />
      {test.result}
      <Text size="sm" c="dimmed">
        Who is told of what:{" "}
        <Anchor component={Link} to="/notifications" size="sm">
          Notifications
        </Anchor>
        .
      </Text>
    </Section>
  );
}

function Proxies({ current, readOnly }: { current: Current; readOnly: boolean }) {
  const form = useSection(
    current,
    (s) => ({ proxies: s.trusted_proxies.join("\n"), header: s.client_ip_header }),
    (v) => ({ trusted_proxies: lines(v.proxies), client_ip_header: v.header.trim() }),
  );
  const { value, set, fault, fixed } = form;
  return (
    <Section
      title="Trusted proxies"
      about="The proxies in front of Warder and of your applications whose word about the client's address is believed. Never name a network that strangers are in: they could claim any address."
      form={form}
    >
      <Alert variant="light" color="gray" title={`We see you as ${current.settings.client}`}>
        If that is the address of a proxy and not yours, add the proxy here.
      </Alert>
      <Group gap="md" align="flex-start">
        <Textarea
          label={<FixedLabel label="Proxies, one in each line" fixed={fixed("trusted_proxies")} />}
          placeholder={"10.0.0.5\n10.1.0.0/24"}
          value={value.proxies}
          onChange={(e) => set({ proxies: e.currentTarget.value })}
          error={fault("trusted_proxies")}
          disabled={readOnly || fixed("trusted_proxies")}
          autosize
          minRows={3}
          maxRows={10}
          classNames={{ input: "mono" }}
          spellCheck={false}
          w={{ base: "100%", sm: 360 }}
        />
        <TextInput
          label={<FixedLabel label="Header that carries the address" fixed={fixed("client_ip_header")} />}
          value={value.header}
          onChange={(e) => set({ header: e.currentTarget.value })}
          error={fault("client_ip_header")}
          disabled={readOnly || fixed("client_ip_header")}
          classNames={{ input: "mono" }}
          w={{ base: "100%", sm: 280 }}
        />
      </Group>
    </Section>
  );
}

function Public({ current, readOnly }: { current: Current; readOnly: boolean }) {
  const form = useSection(
    current,
    (s) => ({ public_url: s.public_url, contact: s.contact }),
    (v) => ({ public_url: v.public_url.trim(), contact: v.contact.trim() }),
  );
  const { value, set, fault, fixed } = form;
  return (
    <Section
      title="What refused people see"
      about="The page that says that access is denied, and the CAPTCHA, are shown under the public address."
      form={form}
    >
      <TextInput
        label={<FixedLabel label="Public address" fixed={fixed("public_url")} />}
        description="Where end users reach Warder's own pages. Empty: no CAPTCHA page."
        placeholder="https://login.example.org"
        value={value.public_url}
        onChange={(e) => set({ public_url: e.currentTarget.value })}
        error={fault("public_url")}
        disabled={readOnly || fixed("public_url")}
        maw={480}
      />
      <TextInput
        label={<FixedLabel label="Contact" fixed={fixed("contact")} />}
        description="Whom to ask when somebody is refused: an address, a number, a sentence. Shown with the reference."
        placeholder="support@example.org"
        value={value.contact}
        onChange={(e) => set({ contact: e.currentTarget.value })}
        error={fault("contact")}
        disabled={readOnly || fixed("contact")}
        maxLength={200}
        maw={480}
      />
    </Section>
  );
}

function Sessions({ current, readOnly }: { current: Current; readOnly: boolean }) {
  const form = useSection(
    current,
    (s) => ({
      idle: s.session.idle as number | undefined,
      absolute: s.session.absolute as number | undefined,
    }),
    (v) => ({ session: { idle: v.idle, absolute: v.absolute } }),
  );
  const { value, set, fault, fixed } = form;
  return (
    <Section title="Sessions of this dashboard" about="How long somebody stays signed in here." form={form}>
      <Stack gap="md">
        <DurationInput
          label={<FixedLabel label="Without a request" fixed={fixed("session.idle")} />}
          name="Without a request"
          description="12 hours at most."
          value={value.idle}
          onChange={(idle) => set({ idle })}
          error={fault("session.idle")}
          disabled={readOnly || fixed("session.idle")}
        />
        <DurationInput
          label={<FixedLabel label="In any case" fixed={fixed("session.absolute")} />}
          name="In any case"
          description="7 days at most."
          value={value.absolute}
          onChange={(absolute) => set({ absolute })}
          error={fault("session.absolute")}
          disabled={readOnly || fixed("session.absolute")}
        />
      </Stack>
    </Section>
  );
}

import { Badge, Button, Group, Modal, PasswordInput, Select, Stack, Text, TextInput } from "@mantine/core";
import { modals } from "@mantine/modals";
import { IconDeviceMobile, IconFingerprint, IconLogout, IconPlus, IconTrash } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { api, data, type Schemas } from "@/api/client";
import { Ask } from "@/components/Ask";
import { DataTable } from "@/components/DataTable";
import { Empty, Loading, notifyDone, notifyProblem, ProblemAlert } from "@/components/Feedback";
import { AddressLink } from "@/components/Links";
import { NewPassword } from "@/components/NewPassword";
import { Page, Panel } from "@/components/Page";
import { proven } from "@/components/Prove";
import { When } from "@/components/When";
import { faultAt, faultsOf } from "@/lib/faults";
import { type Me, useMe } from "@/lib/me";
import { roleWords } from "@/lib/roles";
import { day, setTimeZone } from "@/lib/time";
import { createPasskey, passkeysWork, passkeyTrouble } from "@/lib/webauthn";
import { plural } from "@/lib/words";
import { agentWords } from "./me/agent";
import { RecoveryCodes } from "./me/RecoveryCodes";
import { TotpSetup } from "./me/TotpSetup";

/** One's own account: name, time zone, password, second factors, sessions. */
export default function Profile() {
  const { me } = useMe();
  return (
    <Page title="Profile" about={me?.email ? `You are signed in as ${me.email}.` : undefined}>
      {!me ? (
        <Loading label="Loading your profile" />
      ) : me.id === "" ? (
        <Panel>
          <Empty title="An API key has no profile">Sign in as an operator to see yours.</Empty>
        </Panel>
      ) : (
        <>
          <About me={me} />
          <Factors me={me} />
          <Passkeys />
          <Password />
          <Sessions />
        </>
      )}
    </Page>
  );
}

function About({ me }: { me: Me }) {
  const queries = useQueryClient();
  const [name, setName] = useState(me.name);
  const [zone, setZone] = useState<string | null>(me.time_zone || null);
  useEffect(() => {
    setName(me.name);
    setZone(me.time_zone || null);
  }, [me.name, me.time_zone]);
  const zones = useMemo(() => Intl.supportedValuesOf("timeZone"), []);
  const browser = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const save = useMutation({
    mutationFn: () => data(api.PATCH("/v1/me", { body: { name: name.trim(), time_zone: zone ?? "" } })),
    onSuccess: (next) => {
      queries.setQueryData(["me"], next);
      setTimeZone(next.time_zone || browser);
      void queries.invalidateQueries();
      notifyDone("Saved.");
    },
  });
  const faults = faultsOf(save.error);
  const dirty = name !== me.name || (zone ?? "") !== me.time_zone;
  return (
    <Panel
      title="About you"
      aside={
        <Text size="sm" c="dimmed">
          {roleWords[me.role].label}
          {me.expires_at && `, until ${day(me.expires_at)}`}
        </Text>
      }
    >
      <form
        onSubmit={(e) => {
          e.preventDefault();
          save.mutate();
        }}
      >
        <Stack gap="md">
          <Group gap="md" align="flex-start">
            <TextInput
              label="Name"
              value={name}
              onChange={(e) => setName(e.currentTarget.value)}
              error={faultAt(faults, "name")}
              autoComplete="name"
              maxLength={100}
              w={{ base: "100%", sm: 280 }}
            />
            <Select
              label="Time zone"
              description="Days on every page begin and end here."
              inputWrapperOrder={["label", "input", "description", "error"]}
              placeholder={`that of the browser (${browser})`}
              data={zones}
              value={zone}
              onChange={setZone}
              searchable
              clearable
              limit={100}
              nothingFoundMessage="No such time zone"
              error={faultAt(faults, "time_zone")}
              w={{ base: "100%", sm: 320 }}
            />
          </Group>
          {Object.keys(faults).length === 0 && <ProblemAlert error={save.error} />}
          {dirty && (
            <Button type="submit" size="sm" loading={save.isPending} style={{ alignSelf: "flex-start" }}>
              Save
            </Button>
          )}
        </Stack>
      </form>
    </Panel>
  );
}

/** Asks for the password before something that weakens the account. */
function PasswordDialog(props: {
  opened: boolean;
  title: string;
  about: string;
  button: string;
  danger?: boolean;
  onClose: () => void;
  run: (password: string) => Promise<void>;
}) {
  const [password, setPassword] = useState("");
  const run = useMutation({ mutationFn: () => props.run(password), onSettled: () => setPassword("") });
  return (
    <Modal
      opened={props.opened}
      onClose={() => {
        run.reset();
        props.onClose();
      }}
      title={props.title}
    >
      <Ask
        deed={run}
        act={props.button}
        color={props.danger ? "red" : undefined}
        ready={password !== ""}
        close={props.onClose}
        problem={!faultAt(faultsOf(run.error), "password") && <ProblemAlert error={run.error} />}
      >
        <Text size="sm">{props.about}</Text>
        <PasswordInput
          label="Your password"
          autoComplete="current-password"
          value={password}
          onChange={(e) => setPassword(e.currentTarget.value)}
          error={faultAt(faultsOf(run.error), "password")}
          visibilityToggleButtonProps={{ "aria-label": "Show the password" }}
          data-autofocus
        />
      </Ask>
    </Modal>
  );
}

function Factors({ me }: { me: Me }) {
  const queries = useQueryClient();
  const [open, setOpen] = useState<"setup" | "off" | "codes">();
  const [codes, setCodes] = useState<string[]>();
  const done = () => {
    setOpen(undefined);
    setCodes(undefined);
    void queries.invalidateQueries({ queryKey: ["me"] });
  };
  return (
    <Panel
      title={
        <Group gap="sm" component="span">
          Authenticator app
          <Badge variant="light" color={me.totp ? "warder" : "gray"} tt="none">
            {me.totp ? "on" : "off"}
          </Badge>
        </Group>
      }
    >
      <Stack gap="md">
        <Text size="sm" c="dimmed" maw={640}>
          Six digits from an app on your phone, asked for after the password. Whoever finds out the password
          still does not get in.
        </Text>
        {open === "setup" ? (
          <TotpSetup onDone={done} onCancel={() => setOpen(undefined)} />
        ) : codes ? (
          <RecoveryCodes codes={codes} onDone={done} />
        ) : (
          <Group gap="xs">
            {me.totp ? (
              <Button size="sm" variant="default" onClick={() => setOpen("off")}>
                Switch it off
              </Button>
            ) : (
              <Button size="sm" leftSection={<IconDeviceMobile size={16} />} onClick={() => setOpen("setup")}>
                Set it up
              </Button>
            )}
            {(me.totp || me.passkeys > 0) && (
              <>
                <Button size="sm" variant="default" onClick={() => setOpen("codes")}>
                  New recovery codes
                </Button>
                <Text size="sm" c={me.recovery_codes_left < 3 ? "var(--severity-high-text)" : "dimmed"}>
                  {plural(me.recovery_codes_left, "recovery code")} left
                </Text>
              </>
            )}
          </Group>
        )}
      </Stack>
      <PasswordDialog
        opened={open === "off"}
        title="Switch the authenticator app off?"
        about="After this the password alone is enough to sign in, unless you have a passkey. All your other sessions stay."
        button="Switch it off"
        danger
        onClose={() => setOpen(undefined)}
        run={async (password) => {
          await api.DELETE("/v1/me/totp", { body: { password } });
          notifyDone("The authenticator app is switched off.");
          done();
        }}
      />
      <PasswordDialog
        opened={open === "codes"}
        title="Make new recovery codes?"
        about="The codes that you have now stop working."
        button="Make new codes"
        onClose={() => setOpen(undefined)}
        run={async (password) => {
          const made = await data(api.POST("/v1/me/recovery-codes", { body: { password } }));
          setCodes(made.recovery_codes);
          setOpen(undefined);
        }}
      />
    </Panel>
  );
}

function Passkeys() {
  const queries = useQueryClient();
  const [adding, setAdding] = useState(false);
  const [name, setName] = useState("");
  const [codes, setCodes] = useState<string[]>();
  const list = useQuery({ queryKey: ["me", "passkeys"], queryFn: () => data(api.GET("/v1/me/passkeys")) });
  const refresh = () => queries.invalidateQueries({ queryKey: ["me"] });
  const add = useMutation({
    mutationFn: async () => {
      const { options } = await proven(() => data(api.POST("/v1/me/passkeys/options")));
      const credential = await createPasskey(options);
      return data(api.POST("/v1/me/passkeys", { body: { name: name.trim(), credential } }));
    },
    onSuccess: (made) => {
      setAdding(false);
      setName("");
      if (made.recovery_codes.length > 0) setCodes(made.recovery_codes);
      notifyDone(`The passkey ${made.name} is added.`);
      void refresh();
    },
  });
  const remove = (k: Schemas["PasskeyView"]) =>
    modals.openConfirmModal({
      title: `Remove the passkey ${k.name}?`,
      children: (
        <Text size="sm">It no longer signs you in. The device may still offer it: delete it there too.</Text>
      ),
      labels: { confirm: "Remove", cancel: "Cancel" },
      confirmProps: { color: "red" },
      onConfirm: async () => {
        try {
          await proven(() => api.DELETE("/v1/me/passkeys/{id}", { params: { path: { id: k.id } } }));
          notifyDone(`The passkey ${k.name} is removed.`);
        } catch (e) {
          notifyProblem(e);
        }
        void refresh();
      },
    });
  const trouble = passkeyTrouble(add.error);
  return (
    <Panel
      title="Passkeys"
      pad={false}
      aside={
        passkeysWork() && (
          <Button
            size="xs"
            variant="default"
            leftSection={<IconPlus size={14} />}
            onClick={() => {
              add.reset();
              setAdding(true);
            }}
          >
            Add a passkey
          </Button>
        )
      }
    >
      {codes && (
        <div style={{ padding: "0 16px 16px" }}>
          <RecoveryCodes codes={codes} onDone={() => setCodes(undefined)} />
        </div>
      )}
      <DataTable
        label="Passkeys"
        rows={list.data?.items}
        error={list.error}
        retry={list.refetch}
        id={(k) => k.id}
        minWidth={480}
        empty={
          <Empty icon={<IconFingerprint />} title="No passkey yet">
            {passkeysWork()
              ? "A fingerprint, a face or a security key instead of the password. It cannot be phished."
              : "Passkeys need https and a host name, or localhost: open the dashboard that way to add one."}
          </Empty>
        }
        columns={[
          {
            key: "name",
            title: "Name",
            cell: (k) => (
              <Text size="sm" fw={600} className="breakable">
                {k.name}
              </Text>
            ),
          },
          {
            key: "site",
            title: "Works at",
            cell: (k) => (
              <Text size="sm" className="mono">
                {k.site}
              </Text>
            ),
          },
          { key: "created", title: "Added", cell: (k) => <When at={k.created} /> },
          {
            key: "used",
            title: "Last used",
            cell: (k) => (k.last_used ? <When at={k.last_used} /> : <Text size="sm">never</Text>),
          },
          {
            key: "act",
            title: <span className="visually-hidden">Actions</span>,
            width: 110,
            cell: (k) => (
              <Button
                size="compact-sm"
                variant="default"
                leftSection={<IconTrash size={13} />}
                onClick={() => remove(k)}
                aria-label={`Remove the passkey ${k.name}`}
              >
                Remove
              </Button>
            ),
          },
        ]}
      />
      <Modal opened={adding} onClose={() => setAdding(false)} title="Add a passkey">
        <Ask
          deed={add}
          act="Go on"
          problem={
            trouble ? (
              <Text size="sm" c="var(--mantine-color-error)" role="alert">
                {trouble}
              </Text>
            ) : (
              !faultAt(faultsOf(add.error), "name") && <ProblemAlert error={add.error} />
            )
          }
          ready={name.trim() !== ""}
          close={() => setAdding(false)}
        >
          <TextInput
            label="Name"
            description="So that you know it again: the device, the key on your ring."
            placeholder={agentWords(navigator.userAgent)}
            value={name}
            onChange={(e) => setName(e.currentTarget.value)}
            error={faultAt(faultsOf(add.error), "name")}
            maxLength={64}
            data-autofocus
          />
        </Ask>
      </Modal>
    </Panel>
  );
}

function Password() {
  const { me } = useMe();
  const queries = useQueryClient();
  const [open, setOpen] = useState(false);
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const change = useMutation({
    mutationFn: () => api.POST("/v1/me/password", { body: { current, new: next } }),
    onSuccess: () => {
      setOpen(false);
      setNext("");
      notifyDone("The password is changed. Everywhere else you are signed out.");
      void queries.invalidateQueries({ queryKey: ["me"] });
    },
    onSettled: () => setCurrent(""),
  });
  const faults = faultsOf(change.error);
  const shown = faultAt(faults, "current") ?? faultAt(faults, "new");
  return (
    <Panel title="Password">
      {!open ? (
        <Button size="sm" variant="default" onClick={() => setOpen(true)}>
          Change the password
        </Button>
      ) : (
        <form
          onSubmit={(e) => {
            e.preventDefault();
            change.mutate();
          }}
        >
          <input type="email" autoComplete="username" value={me?.email ?? ""} readOnly hidden />
          <Stack gap="md" maw={400}>
            <PasswordInput
              label="Password now"
              autoComplete="current-password"
              value={current}
              onChange={(e) => setCurrent(e.currentTarget.value)}
              error={faultAt(faults, "current")}
              visibilityToggleButtonProps={{ "aria-label": "Show the password" }}
              autoFocus
            />
            <NewPassword
              label="New password"
              value={next}
              onChange={setNext}
              error={faultAt(faults, "new")}
            />
            {!shown && <ProblemAlert error={change.error} />}
            <Group gap="xs">
              <Button
                type="submit"
                size="sm"
                loading={change.isPending}
                disabled={current === "" || next === ""}
              >
                Change it
              </Button>
              <Button
                size="sm"
                variant="default"
                onClick={() => {
                  setOpen(false);
                  change.reset();
                }}
              >
                Cancel
              </Button>
            </Group>
          </Stack>
        </form>
      )}
    </Panel>
  );
}

function Sessions() {
  const queries = useQueryClient();
  const list = useQuery({ queryKey: ["me", "sessions"], queryFn: () => data(api.GET("/v1/me/sessions")) });
  const end = useMutation({
    mutationFn: (id: string) => api.DELETE("/v1/me/sessions/{id}", { params: { path: { id } } }),
    onSuccess: () => notifyDone("That session has ended."),
    onError: notifyProblem,
    onSettled: () => queries.invalidateQueries({ queryKey: ["me", "sessions"] }),
  });
  const everywhere = () =>
    modals.openConfirmModal({
      title: "Sign out everywhere?",
      children: <Text size="sm">All your sessions end, this one too.</Text>,
      labels: { confirm: "Sign out everywhere", cancel: "Cancel" },
      confirmProps: { color: "red" },
      onConfirm: async () => {
        try {
          await api.DELETE("/v1/me/sessions");
          window.location.replace("/sign-in");
        } catch (e) {
          notifyProblem(e);
        }
      },
    });
  return (
    <Panel
      title="Where you are signed in"
      pad={false}
      aside={
        <Button size="xs" variant="default" leftSection={<IconLogout size={14} />} onClick={everywhere}>
          Sign out everywhere
        </Button>
      }
    >
      <DataTable
        label="Your sessions"
        rows={list.data?.items}
        error={list.error}
        retry={list.refetch}
        id={(s) => s.id}
        minWidth={560}
        columns={[
          {
            key: "agent",
            title: "Browser",
            cell: (s) => (
              <Group gap={8}>
                <Text size="sm" fw={600} title={s.agent}>
                  {agentWords(s.agent)}
                </Text>
                {s.current && (
                  <Badge size="sm" variant="light" tt="none">
                    this one
                  </Badge>
                )}
                {s.state === "second_factor" && (
                  <Badge size="sm" variant="light" color="gray" tt="none">
                    waits for the second factor
                  </Badge>
                )}
              </Group>
            ),
          },
          { key: "ip", title: "From", cell: (s) => <AddressLink ip={s.ip} /> },
          { key: "created", title: "Since", cell: (s) => <When at={s.created} /> },
          { key: "seen", title: "Last seen", cell: (s) => <When at={s.last_seen} /> },
          {
            key: "act",
            title: <span className="visually-hidden">Actions</span>,
            width: 80,
            cell: (s) =>
              !s.current && (
                <Button
                  size="compact-sm"
                  variant="default"
                  onClick={() => end.mutate(s.id)}
                  aria-label={`End the session of ${agentWords(s.agent)}`}
                >
                  End
                </Button>
              ),
          },
        ]}
      />
    </Panel>
  );
}

import {
  ActionIcon,
  Alert,
  Badge,
  Button,
  Group,
  Menu,
  Modal,
  NativeSelect,
  Stack,
  Text,
  TextInput,
} from "@mantine/core";
import { DatePickerInput } from "@mantine/dates";
import { modals } from "@mantine/modals";
import { IconDots, IconMail, IconPlus, IconUserShield } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, data, type Schemas } from "@/api/client";
import { Ask } from "@/components/Ask";
import { CodeBlock } from "@/components/CodeBlock";
import { DataTable } from "@/components/DataTable";
import { Empty, notifyDone, notifyProblem, ProblemAlert } from "@/components/Feedback";
import { Page, Panel } from "@/components/Page";
import { When } from "@/components/When";
import { faultAt, faultsOf } from "@/lib/faults";
import { type Role, roles, useMe } from "@/lib/me";
import { roleWords } from "@/lib/roles";
import { day, dayjs, exact, timeZone } from "@/lib/time";
import { person } from "@/lib/words";

type Operator = Schemas["OperatorView"];

/** The people who run Warder: who they are, what they may, how long. */
export default function Operators() {
  const { me, can } = useMe();
  const queries = useQueryClient();
  const [inviting, setInviting] = useState(false);
  const [editing, setEditing] = useState<Operator>();
  const [link, setLink] = useState<{ title: string; link: Schemas["NewLink"] }>();
  const people = useQuery({ queryKey: ["operators"], queryFn: () => data(api.GET("/v1/operators")) });
  const refresh = () => {
    void queries.invalidateQueries({ queryKey: ["operators"] });
    void queries.invalidateQueries({ queryKey: ["invitations"] });
  };
  const owner = can("owner");
  const act = async (run: () => Promise<unknown>, done: string) => {
    try {
      await run();
      notifyDone(done);
    } catch (e) {
      notifyProblem(e);
    }
    refresh();
  };
  const ask = (title: string, text: string, confirm: string, run: () => Promise<unknown>, done: string) =>
    modals.openConfirmModal({
      title,
      children: <Text size="sm">{text}</Text>,
      labels: { confirm, cancel: "Cancel" },
      confirmProps: { color: "red" },
      onConfirm: () => act(run, done),
    });
  return (
    <Page
      title="Operators"
      about="The people who see this dashboard. Each change of theirs stands in the audit trail under their name."
      actions={
        owner && (
          <Button size="sm" leftSection={<IconPlus size={15} />} onClick={() => setInviting(true)}>
            Invite somebody
          </Button>
        )
      }
    >
      <Panel pad={false}>
        <DataTable
          label="Operators"
          rows={people.data?.items}
          error={people.error}
          retry={people.refetch}
          id={(o) => o.id}
          minWidth={820}
          empty={
            <Empty icon={<IconUserShield />} title="Nobody yet">
              Open the set-up link that Warder printed when it started.
            </Empty>
          }
          columns={[
            {
              key: "who",
              title: "Who",
              cell: (o) => (
                <Stack gap={0}>
                  <Group gap={8}>
                    <Text size="sm" fw={600} className="breakable">
                      {o.name || o.email}
                    </Text>
                    {o.id === me?.id && (
                      <Badge size="sm" variant="light" tt="none">
                        you
                      </Badge>
                    )}
                  </Group>
                  {o.name && (
                    <Text size="xs" c="dimmed" className="breakable">
                      {o.email}
                    </Text>
                  )}
                </Stack>
              ),
            },
            {
              key: "role",
              title: "Role",
              width: 100,
              cell: (o) => <Text size="sm">{roleWords[o.role].label}</Text>,
            },
            { key: "state", title: "State", width: 170, cell: (o) => <State of={o} /> },
            {
              key: "factor",
              title: "Second factor",
              width: 170,
              cell: (o) => {
                const list = [
                  o.totp && "app",
                  o.passkeys > 0 && (o.passkeys === 1 ? "1 passkey" : `${o.passkeys} passkeys`),
                ];
                const text = list.filter(Boolean).join(", ");
                return (
                  <Text size="sm" c={text ? undefined : "var(--severity-high-text)"}>
                    {text || "none"}
                  </Text>
                );
              },
            },
            {
              key: "last",
              title: "Last sign-in",
              width: 140,
              cell: (o) => (o.last_sign_in ? <When at={o.last_sign_in} /> : <Text size="sm">never</Text>),
            },
            {
              key: "act",
              title: <span className="visually-hidden">Actions</span>,
              width: 50,
              cell: (o) =>
                owner && (
                  <Menu withinPortal position="bottom-end">
                    <Menu.Target>
                      <ActionIcon variant="subtle" color="gray" aria-label={`Actions for ${o.email}`}>
                        <IconDots size={16} />
                      </ActionIcon>
                    </Menu.Target>
                    <Menu.Dropdown>
                      <Menu.Item onClick={() => setEditing(o)}>Role and end</Menu.Item>
                      <Menu.Item
                        onClick={() =>
                          ask(
                            `Make a link for a new password for ${o.email}?`,
                            "Whoever has the link sets the password. The second factor is removed and every session ends when it is used.",
                            "Make the link",
                            async () => {
                              const made = await data(
                                api.POST("/v1/operators/{id}/reset", { params: { path: { id: o.id } } }),
                              );
                              setLink({ title: `A new password for ${o.email}`, link: made });
                            },
                            "The link is made.",
                          )
                        }
                      >
                        Link for a new password
                      </Menu.Item>
                      <Menu.Item
                        onClick={() =>
                          ask(
                            `Sign ${o.email} out everywhere?`,
                            "Every session of theirs ends; they may sign in again.",
                            "Sign out",
                            () =>
                              api.DELETE("/v1/operators/{id}/sessions", { params: { path: { id: o.id } } }),
                            `${o.email} is signed out everywhere.`,
                          )
                        }
                      >
                        Sign out everywhere
                      </Menu.Item>
                      <Menu.Divider />
                      {o.disabled_at ? (
                        <Menu.Item
                          onClick={() =>
                            act(
                              () =>
                                api.PATCH("/v1/operators/{id}", {
                                  params: { path: { id: o.id } },
                                  body: { disabled: false },
                                }),
                              `${o.email} may sign in again.`,
                            )
                          }
                        >
                          Activate
                        </Menu.Item>
                      ) : (
                        <Menu.Item
                          color="red"
                          c="var(--mantine-color-error)"
                          onClick={() =>
                            ask(
                              `Deactivate ${o.email}?`,
                              "They cannot sign in any more and every session ends. What they did stays in the audit trail.",
                              "Deactivate",
                              () =>
                                api.PATCH("/v1/operators/{id}", {
                                  params: { path: { id: o.id } },
                                  body: { disabled: true },
                                }),
                              `${o.email} is deactivated.`,
                            )
                          }
                        >
                          Deactivate
                        </Menu.Item>
                      )}
                    </Menu.Dropdown>
                  </Menu>
                ),
            },
          ]}
        />
      </Panel>
      <Invitations may={owner} />
      <Invite
        opened={inviting}
        onClose={() => setInviting(false)}
        onMade={(made, email) => {
          setInviting(false);
          setLink({ title: `The invitation of ${email}`, link: made });
          refresh();
        }}
      />
      <Edit editing={editing} onClose={() => setEditing(undefined)} onDone={refresh} />
      <Modal
        opened={link !== undefined}
        onClose={() => setLink(undefined)}
        title={link?.title}
        size="lg"
        closeOnClickOutside={false}
      >
        {link && (
          <Stack gap="md">
            {link.link.mailed ? (
              <Alert variant="light" icon={<IconMail />} title="Sent by mail">
                You can also hand it over yourself.
              </Alert>
            ) : (
              <Text size="sm">
                Hand this link over by a way that you trust. It is shown this once and works once.
              </Text>
            )}
            <CodeBlock code={link.link.link} label="the link" />
            <Text size="sm" c="dimmed">
              It ends {exact(link.link.expires_at)} {timeZone()}.
            </Text>
            <Group justify="flex-end">
              <Button onClick={() => setLink(undefined)}>Done</Button>
            </Group>
          </Stack>
        )}
      </Modal>
    </Page>
  );
}

function State({ of: o }: { of: Operator }) {
  if (o.disabled_at) {
    return (
      <Badge variant="light" color="gray" tt="none">
        deactivated
      </Badge>
    );
  }
  if (o.expires_at && dayjs(o.expires_at).isBefore(dayjs())) {
    return (
      <Badge variant="light" color="gray" tt="none">
        ended {day(o.expires_at)}
      </Badge>
    );
  }
  return (
    <Text size="sm">
      active
      {o.expires_at && (
        <Text span size="xs" c="dimmed">
          {" "}
          until {day(o.expires_at)}
        </Text>
      )}
    </Text>
  );
}

function Invitations({ may }: { may: boolean }) {
  const queries = useQueryClient();
  const list = useQuery({
    queryKey: ["invitations"],
    queryFn: () => data(api.GET("/v1/invitations")),
    enabled: may,
  });
  const back = useMutation({
    mutationFn: (id: string) => api.DELETE("/v1/invitations/{id}", { params: { path: { id } } }),
    onSuccess: () => notifyDone("The link no longer works."),
    onError: notifyProblem,
    onSettled: () => queries.invalidateQueries({ queryKey: ["invitations"] }),
  });
  const rows = list.data?.items ?? [];
  if (rows.length === 0) return <ProblemAlert error={list.error} />;
  return (
    <Panel title="Links that wait for somebody" pad={false}>
      <DataTable
        label="Invitations and links for new passwords"
        rows={rows}
        id={(i) => i.id}
        columns={[
          {
            key: "email",
            title: "For",
            cell: (i) => (
              <Text size="sm" className="breakable">
                {i.email}
              </Text>
            ),
          },
          {
            key: "kind",
            title: "What",
            cell: (i) => (
              <Text size="sm">
                {i.kind === "reset"
                  ? "new password"
                  : `invitation as ${roleWords[i.role].label.toLowerCase()}`}
              </Text>
            ),
          },
          { key: "by", title: "By", cell: (i) => <Text size="sm">{person(i.invited_by)}</Text> },
          { key: "until", title: "Works until", cell: (i) => <When at={i.expires_at} /> },
          {
            key: "act",
            title: <span className="visually-hidden">Actions</span>,
            width: 110,
            cell: (i) => (
              <Button
                size="compact-sm"
                variant="default"
                onClick={() => back.mutate(i.id)}
                aria-label={`Take the link of ${i.email} back`}
              >
                Take back
              </Button>
            ),
          },
        ]}
      />
    </Panel>
  );
}

/** The end of a day in the operator's time zone. */
const endOf = (d: string | null) => (d ? dayjs.tz(d, timeZone()).endOf("day").toISOString() : undefined);

function RoleAndEnd(props: {
  role: Role;
  end: string | null;
  onRole: (r: Role) => void;
  onEnd: (d: string | null) => void;
  faults: Record<string, string>;
  endField: string;
}) {
  return (
    <>
      <NativeSelect
        label="Role"
        description={roleWords[props.role].about}
        inputWrapperOrder={["label", "input", "description", "error"]}
        value={props.role}
        onChange={(e) => props.onRole(e.currentTarget.value as Role)}
        data={[...roles].reverse().map((r) => ({ value: r, label: roleWords[r].label }))}
        error={faultAt(props.faults, "role")}
      />
      <DatePickerInput
        label="Account ends after"
        description="For auditors and helpers. Empty: it does not end."
        placeholder="never"
        value={props.end}
        onChange={props.onEnd}
        minDate={dayjs().format("YYYY-MM-DD")}
        valueFormat="D MMMM YYYY"
        clearable
        clearButtonProps={{ "aria-label": "No end" }}
        error={faultAt(props.faults, props.endField)}
      />
    </>
  );
}

function Invite(props: {
  opened: boolean;
  onClose: () => void;
  onMade: (link: Schemas["NewLink"], email: string) => void;
}) {
  const [email, setEmail] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const [end, setEnd] = useState<string | null>(null);
  const invite = useMutation({
    mutationFn: () =>
      data(
        api.POST("/v1/invitations", { body: { email: email.trim(), role, operator_expires_at: endOf(end) } }),
      ),
    onSuccess: (made) => {
      props.onMade(made, email.trim());
      setEmail("");
      setRole("viewer");
      setEnd(null);
    },
  });
  const faults = faultsOf(invite.error);
  return (
    <Modal opened={props.opened} onClose={props.onClose} title="Invite somebody">
      <Ask
        deed={invite}
        act="Make the invitation"
        close={props.onClose}
        problem={Object.keys(faults).length === 0 && <ProblemAlert error={invite.error} />}
      >
        <TextInput
          label="E-mail address"
          type="email"
          value={email}
          onChange={(e) => setEmail(e.currentTarget.value)}
          error={faultAt(faults, "email")}
          required
          withAsterisk={false}
          data-autofocus
        />
        <RoleAndEnd
          role={role}
          end={end}
          onRole={setRole}
          onEnd={setEnd}
          faults={faults}
          endField="operator_expires_at"
        />
      </Ask>
    </Modal>
  );
}

function Edit(props: { editing?: Operator; onClose: () => void; onDone: () => void }) {
  const { editing } = props;
  const [form, setForm] = useState<{ id: string; role: Role; end: string | null }>();
  if (editing && form?.id !== editing.id) {
    setForm({
      id: editing.id,
      role: editing.role,
      end: editing.expires_at ? dayjs(editing.expires_at).tz(timeZone()).format("YYYY-MM-DD") : null,
    });
  }
  const save = useMutation({
    mutationFn: async () => {
      if (!editing || !form) return;
      const end = endOf(form.end) ?? "";
      const before = editing.expires_at
        ? dayjs(editing.expires_at).tz(timeZone()).format("YYYY-MM-DD")
        : null;
      const body = {
        ...(form.role !== editing.role ? { role: form.role } : {}),
        ...(form.end !== before ? { expires_at: end } : {}),
      };
      if (Object.keys(body).length === 0) return;
      await api.PATCH("/v1/operators/{id}", { params: { path: { id: editing.id } }, body });
    },
    onSuccess: () => {
      notifyDone("Saved.");
      setForm(undefined);
      props.onClose();
    },
    onSettled: props.onDone,
  });
  const faults = faultsOf(save.error);
  return (
    <Modal
      opened={editing !== undefined}
      onClose={() => {
        setForm(undefined);
        save.reset();
        props.onClose();
      }}
      title={editing?.email}
    >
      {form && (
        <Ask
          deed={save}
          act="Save"
          close={props.onClose}
          problem={Object.keys(faults).length === 0 && <ProblemAlert error={save.error} />}
        >
          <RoleAndEnd
            role={form.role}
            end={form.end}
            onRole={(role) => setForm({ ...form, role })}
            onEnd={(end) => setForm({ ...form, end })}
            faults={faults}
            endField="expires_at"
          />
        </Ask>
      )}
    </Modal>
  );
}

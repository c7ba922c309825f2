import {
  Alert,
  Badge,
  Button,
  Checkbox,
  Group,
  Modal,
  Stack,
  Switch,
  Text,
  Textarea,
  TextInput,
} from "@mantine/core";
import { modals } from "@mantine/modals";
import { IconApps, IconKey, IconPlus } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, data, type Schemas } from "@/api/client";
import { Ask } from "@/components/Ask";
import { CodeBlock } from "@/components/CodeBlock";
import { DataTable } from "@/components/DataTable";
import { Empty, notifyDone, notifyProblem, ProblemAlert } from "@/components/Feedback";
import { Page, Panel } from "@/components/Page";
import { Snippets } from "@/components/Snippets";
import { When } from "@/components/When";
import { faultAt, faultsOf } from "@/lib/faults";
import { lines } from "@/lib/lines";
import { useMe } from "@/lib/me";

type Key = Schemas["KeyView"];

const scopes = [
  { value: "events", label: "Report events", about: "Events, and the announcement and outcome of sign-ins." },
  { value: "check", label: "Ask for decisions", about: "Also CAPTCHAs and forward auth of proxies." },
  { value: "sessions", label: "Sessions", about: "Read and write which sessions have to end." },
  { value: "read", label: "Read", about: "Everything that is only looked at." },
  { value: "blocks", label: "Block and unblock", about: "Make, change and lift blocks." },
  { value: "admin", label: "Everything", about: "Policy, keys and settings too. Not for applications." },
];
const scopeWords = Object.fromEntries(scopes.map((s) => [s.value, s.label]));

/** "Report events, ask for decisions": a capital at the beginning only. */
const inARow = ([first = "", ...more]: string[]) => [first, ...more.map((m) => m.toLowerCase())].join(", ");

/** The applications that talk to Warder, each with a key of its own. */
export default function Applications() {
  const { can } = useMe();
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<Schemas["NewKey"]>();
  const [ended, setEnded] = useState(false);
  const queries = useQueryClient();
  const list = useQuery({ queryKey: ["keys"], queryFn: () => data(api.GET("/v1/keys")) });
  const keys = list.data?.items;
  const rows = keys?.filter((k) => ended || !k.revoked_at);
  const old = (keys ?? []).filter((k) => k.revoked_at).length;
  const revoke = (k: Key) =>
    modals.openConfirmModal({
      title: `Revoke the key ${k.name}?`,
      children: (
        <Text size="sm">
          The application that uses it is answered 401 from now on: its sign-ins are no longer counted or
          guarded. This cannot be undone; make a new key first if the application is still in use.
        </Text>
      ),
      labels: { confirm: "Revoke", cancel: "Cancel" },
      confirmProps: { color: "red" },
      onConfirm: async () => {
        try {
          await api.DELETE("/v1/keys/{id}", { params: { path: { id: k.id } } });
          notifyDone(`The key ${k.name} is revoked.`);
        } catch (e) {
          notifyProblem(e);
        }
        void queries.invalidateQueries({ queryKey: ["keys"] });
      },
    });
  return (
    <Page
      title="Applications"
      about="Each application has a key of its own, which can do no more than the application needs. Only a hash of it is kept."
      actions={
        can("admin") && (
          <Button size="sm" leftSection={<IconPlus size={15} />} onClick={() => setMaking(true)}>
            Add an application
          </Button>
        )
      }
    >
      <Panel
        title="Keys"
        pad={false}
        aside={
          old > 0 && (
            <Switch
              size="xs"
              label={`Revoked ones (${old})`}
              labelPosition="left"
              checked={ended}
              onChange={(e) => setEnded(e.currentTarget.checked)}
            />
          )
        }
      >
        <DataTable
          label="Keys of applications"
          rows={rows}
          error={list.error}
          retry={list.refetch}
          id={(k) => k.id}
          minWidth={760}
          empty={
            <Empty icon={<IconApps />} title="No application yet">
              Warder knows nothing until an application tells it. Add one: you get a key and lines to paste.
            </Empty>
          }
          columns={[
            {
              key: "name",
              title: "Name",
              cell: (k) => (
                <Group gap={8}>
                  <Text size="sm" fw={600} className="breakable">
                    {k.name}
                  </Text>
                  {k.revoked_at && (
                    <Badge size="sm" variant="light" color="gray" tt="none">
                      revoked
                    </Badge>
                  )}
                </Group>
              ),
            },
            {
              key: "scopes",
              title: "May",
              cell: (k) => (
                <Text size="sm">
                  {inARow(k.scopes.map((s) => scopeWords[s] ?? s))}
                  {k.can.length > 0 && (
                    <Text span size="xs" c="dimmed">
                      {" "}
                      · can ask for {k.can.map((c) => (c === "mfa" ? "MFA" : "CAPTCHA")).join(" and ")}
                    </Text>
                  )}
                </Text>
              ),
            },
            {
              key: "from",
              title: "Used from",
              cell: (k) => (
                <Text
                  size="sm"
                  className={k.from.length > 0 ? "mono breakable" : undefined}
                  c={k.from.length > 0 ? undefined : "dimmed"}
                >
                  {k.from.length > 0 ? k.from.join(", ") : "everywhere"}
                </Text>
              ),
            },
            { key: "created", title: "Made", width: 130, cell: (k) => <When at={k.created} /> },
            {
              key: "used",
              title: "Last used",
              width: 130,
              cell: (k) => (k.last_used ? <When at={k.last_used} /> : <Text size="sm">never</Text>),
            },
            {
              key: "act",
              title: <span className="visually-hidden">Actions</span>,
              width: 90,
              cell: (k) =>
                can("admin") &&
                !k.revoked_at && (
                  <Button
                    size="compact-sm"
                    variant="default"
                    onClick={() => revoke(k)}
                    aria-label={`Revoke the key ${k.name}`}
                  >
                    Revoke
                  </Button>
                ),
            },
          ]}
        />
      </Panel>
      <NewKeyDialog
        opened={making}
        onClose={() => setMaking(false)}
        onMade={(k) => {
          setMaking(false);
          setMade(k);
          void queries.invalidateQueries({ queryKey: ["keys"] });
        }}
      />
      <Modal
        opened={made !== undefined}
        onClose={() => setMade(undefined)}
        title={`The key of ${made?.name ?? ""}`}
        size="xl"
        closeOnClickOutside={false}
      >
        {made && (
          <Stack gap="md">
            <Alert color="yellow" variant="light" icon={<IconKey />} title="It is shown this once">
              Copy it to where the application finds its secrets. If it is lost, make another and revoke this
              one.
            </Alert>
            <CodeBlock code={made.token} label="the key" />
            <Snippets url={window.location.origin} token={made.token} />
            <Group justify="flex-end">
              <Button onClick={() => setMade(undefined)}>I have copied it</Button>
            </Group>
          </Stack>
        )}
      </Modal>
    </Page>
  );
}

function NewKeyDialog(props: {
  opened: boolean;
  onClose: () => void;
  onMade: (k: Schemas["NewKey"]) => void;
}) {
  const [name, setName] = useState("");
  const [chosen, setChosen] = useState<string[]>(["events", "check"]);
  const [can, setCan] = useState<string[]>([]);
  const [from, setFrom] = useState("");
  const make = useMutation({
    mutationFn: () =>
      data(api.POST("/v1/keys", { body: { name: name.trim(), scopes: chosen, can, from: lines(from) } })),
    onSuccess: (k) => {
      props.onMade(k);
      setName("");
      setCan([]);
      setFrom("");
      setChosen(["events", "check"]);
    },
  });
  const faults = faultsOf(make.error);
  const shown = ["name", "scopes", "can", "from"].some((f) => faultAt(faults, f));
  const taken = make.error && !shown;
  return (
    <Modal opened={props.opened} onClose={props.onClose} title="Add an application" size="lg">
      <Ask
        deed={make}
        act="Make the key"
        ready={name.trim() !== "" && chosen.length > 0}
        close={props.onClose}
        problem={taken && <ProblemAlert error={make.error} />}
      >
        <TextInput
          label="Name"
          description="Stands beside every event that it reports."
          placeholder="shop"
          value={name}
          onChange={(e) => setName(e.currentTarget.value)}
          error={faultAt(faults, "name")}
          maxLength={64}
          required
          data-autofocus
        />
        <Checkbox.Group label="It may" value={chosen} onChange={setChosen} error={faultAt(faults, "scopes")}>
          <Stack gap={8} mt={6}>
            {scopes.map((s) => (
              <Checkbox key={s.value} value={s.value} label={s.label} description={s.about} />
            ))}
          </Stack>
        </Checkbox.Group>
        {chosen.includes("admin") && (
          <Alert color="yellow" variant="light">
            Whoever has this key can switch the protection off. Keep it for scripts of your own.
          </Alert>
        )}
        <Checkbox.Group
          label="It can ask its users for"
          description="What it cannot do is not demanded of it: the answer is allow, and says what would have been asked."
          value={can}
          onChange={setCan}
          error={faultAt(faults, "can")}
        >
          <Group gap="lg" mt={6}>
            <Checkbox value="challenge" label="a CAPTCHA" />
            <Checkbox value="mfa" label="MFA" />
          </Group>
        </Checkbox.Group>
        <Textarea
          label="Used from"
          description="Addresses or prefixes of its servers, one in each line. Empty: from everywhere."
          placeholder="10.0.3.0/24"
          value={from}
          onChange={(e) => setFrom(e.currentTarget.value)}
          error={faultAt(faults, "from")}
          autosize
          minRows={2}
          maxRows={6}
          classNames={{ input: "mono" }}
          spellCheck={false}
        />
      </Ask>
    </Modal>
  );
}

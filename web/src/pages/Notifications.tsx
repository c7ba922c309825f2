import {
  ActionIcon,
  Alert,
  Badge,
  Button,
  Checkbox,
  Group,
  Input,
  NumberInput,
  SegmentedControl,
  Select,
  Stack,
  Switch,
  TagsInput,
  Text,
  Textarea,
} from "@mantine/core";
import { TimeInput } from "@mantine/dates";
import { IconInfoCircle, IconMail, IconMailForward, IconTrash } from "@tabler/icons-react";
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { api, data, type Schemas } from "@/api/client";
import { AddButton } from "@/components/AddButton";
import { DataTable } from "@/components/DataTable";
import { DurationInput } from "@/components/DurationInput";
import { Empty, Loading, notifyDone, ProblemAlert } from "@/components/Feedback";
import { Page, Panel } from "@/components/Page";
import { SeverityMark } from "@/components/Severity";
import { When } from "@/components/When";
import { faultAt, faultsOf } from "@/lib/faults";
import { lines } from "@/lib/lines";
import { useMe } from "@/lib/me";
import { useSearchState } from "@/lib/search";
import { type Severity, severities, severityLook } from "@/lib/severity";
import { timeZone } from "@/lib/time";
import { usePolicyInForce } from "./policy/queries";
import { useTestMail } from "./settings/useTestMail";

type Choice = Schemas["Preferences"];

/** Who is told of what: one's own choice, further recipients, what became of each mail. */
export default function Notifications() {
  const { me, can } = useMe();
  return (
    <Page
      title="Notifications"
      about="Mails tell of alerts: thresholds that were crossed, and what Warder itself needs from you. One attack is one mail, not five hundred."
    >
      {me && me.id !== "" && <Own />}
      {can("admin") && <Recipients />}
      <Deliveries />
    </Page>
  );
}

function Own() {
  const queries = useQueryClient();
  const current = useQuery({
    queryKey: ["me", "notifications"],
    queryFn: () => data(api.GET("/v1/me/notifications")),
  });
  const save = useMutation({
    mutationFn: (body: Choice) => data(api.PUT("/v1/me/notifications", { body })),
    onSuccess: (view) => {
      queries.setQueryData(["me", "notifications"], view);
      void queries.invalidateQueries({ queryKey: ["recipients"] });
      notifyDone("Saved.");
    },
  });
  if (current.error && !current.data) return <ProblemAlert error={current.error} retry={current.refetch} />;
  if (!current.data) return <Loading label="Loading your choice" />;
  return <OwnForm view={current.data} save={save.mutate} saving={save.isPending} error={save.error} />;
}

const choiceOf = (v: Schemas["NotificationsView"]): Choice => ({
  mail: v.mail,
  severities: v.severities,
  rules: v.rules,
  realms: v.realms,
  thresholds: v.thresholds,
  digest: v.digest,
  ...(v.quiet ? { quiet: v.quiet } : {}),
});

function OwnForm(props: {
  view: Schemas["NotificationsView"];
  save: (c: Choice) => void;
  saving: boolean;
  error: unknown;
}) {
  const [form, setForm] = useState<Choice>(() => choiceOf(props.view));
  useEffect(() => setForm(choiceOf(props.view)), [props.view]);
  const set = (change: Partial<Choice>) => setForm((f) => ({ ...f, ...change }));
  const faults = faultsOf(props.error);
  const fault = (place: string) => faultAt(faults, place);
  const policy = usePolicyInForce();
  const rules = (policy.data?.doc.activity.rules ?? []).map((r) => r.id);
  const zones = useMemo(() => Intl.supportedValuesOf("timeZone"), []);
  const dirty = JSON.stringify(form) !== JSON.stringify(choiceOf(props.view));
  const chosen = form.severities;
  return (
    <Panel
      title="What you are told"
      aside={
        <Switch
          label="Mail"
          labelPosition="left"
          checked={form.mail}
          onChange={(e) => set({ mail: e.currentTarget.checked })}
        />
      }
    >
      <form
        onSubmit={(e) => {
          e.preventDefault();
          props.save(form);
        }}
      >
        <Stack gap="md">
          {props.view.overrides.length > 0 && (
            <Alert variant="light" color="gray" icon={<IconInfoCircle />}>
              {props.view.overrides.map((o) => (
                <Text size="sm" key={o}>
                  {o}
                </Text>
              ))}
            </Alert>
          )}
          {!form.mail ? (
            <Text size="sm" c="dimmed">
              You get no mail. Everything still stands on the pages.
            </Text>
          ) : (
            <>
              <Checkbox.Group
                label="Severities"
                description="Of the rule that was crossed. None chosen: critical only."
                value={chosen}
                onChange={(v) => set({ severities: v as Severity[] })}
                error={fault("severities")}
              >
                <Group gap="lg" mt={8}>
                  {[...severities].reverse().map((s) => (
                    <Checkbox
                      key={s}
                      value={s}
                      label={
                        <Group gap={6} component="span">
                          <SeverityMark severity={s} />
                          {severityLook[s].label}
                        </Group>
                      }
                    />
                  ))}
                </Group>
              </Checkbox.Group>
              <Group gap="md" align="flex-start" grow preventGrowOverflow={false}>
                <TagsInput
                  label="Only these rules"
                  placeholder={form.rules.length === 0 ? "all rules" : ""}
                  value={form.rules}
                  onChange={(v) => set({ rules: v })}
                  data={rules}
                  error={fault("rules")}
                  acceptValueOnBlur
                  miw={240}
                />
                <TagsInput
                  label="Only these realms"
                  placeholder={form.realms.length === 0 ? "all realms" : ""}
                  value={form.realms}
                  onChange={(v) => set({ realms: v })}
                  error={fault("realms")}
                  acceptValueOnBlur
                  miw={240}
                />
              </Group>
              <Input.Wrapper label="How often" labelElement="div" error={fault("digest")}>
                <div>
                  <SegmentedControl
                    aria-label="How often"
                    value={form.digest}
                    onChange={(v) => set({ digest: v as Choice["digest"] })}
                    data={[
                      { value: "at_once", label: "At once" },
                      { value: "hourly", label: "Every hour" },
                      { value: "daily", label: "Every day" },
                    ]}
                  />
                </div>
              </Input.Wrapper>
              <Thresholds form={form} set={set} fault={fault} rules={rules} />
              <Stack gap="xs">
                <Switch
                  label="Quiet hours"
                  description="No mail in these hours; it is sent when they end."
                  checked={form.quiet !== undefined}
                  onChange={(e) =>
                    set({
                      quiet: e.currentTarget.checked
                        ? { from: "22:00", to: "06:00", time_zone: timeZone() }
                        : undefined,
                    })
                  }
                />
                {form.quiet && (
                  <Group gap="md" align="flex-start">
                    <TimeInput
                      label="From"
                      value={form.quiet.from}
                      onChange={(e) =>
                        form.quiet && set({ quiet: { ...form.quiet, from: e.currentTarget.value } })
                      }
                      error={fault("quiet.from")}
                      w={120}
                    />
                    <TimeInput
                      label="To"
                      value={form.quiet.to}
                      onChange={(e) =>
                        form.quiet && set({ quiet: { ...form.quiet, to: e.currentTarget.value } })
                      }
                      error={fault("quiet.to")}
                      w={120}
                    />
                    <Select
                      label="Time zone"
                      value={form.quiet.time_zone}
                      onChange={(v) => v && form.quiet && set({ quiet: { ...form.quiet, time_zone: v } })}
                      data={["UTC", ...zones.filter((z) => z !== "UTC")]}
                      searchable
                      limit={100}
                      allowDeselect={false}
                      error={fault("quiet.time_zone")}
                      w={240}
                    />
                  </Group>
                )}
              </Stack>
            </>
          )}
          {Object.keys(faults).length === 0 && <ProblemAlert error={props.error} />}
          {(dirty || props.view.default) && (
            <Group gap="xs">
              <Button type="submit" size="sm" loading={props.saving} disabled={!dirty}>
                Save
              </Button>
              {dirty ? (
                <Button variant="default" size="sm" onClick={() => setForm(choiceOf(props.view))}>
                  Discard
                </Button>
              ) : (
                <Text size="sm" c="dimmed">
                  You have not chosen yet: this is how it is for your role.
                </Text>
              )}
            </Group>
          )}
        </Stack>
      </form>
    </Panel>
  );
}

function Thresholds(props: {
  form: Choice;
  set: (c: Partial<Choice>) => void;
  fault: (place: string) => string | undefined;
  rules: string[];
}) {
  const { form, set, fault } = props;
  const put = (i: number, change: Partial<Choice["thresholds"][number]>) =>
    set({ thresholds: form.thresholds.map((t, j) => (j === i ? { ...t, ...change } : t)) });
  const names = [
    {
      group: "Events",
      items: [
        "USER_LOGIN_FAILURE",
        "ADMIN_LOGIN_FAILURE",
        "MFA_FAILURE",
        "UNAUTHORIZED_ACCESS",
        "SIGNUP_FAILURE",
      ].map((e) => ({ value: `event ${e}`, label: e })),
    },
    { group: "Rules", items: props.rules.map((r) => ({ value: `rule ${r}`, label: `rule ${r}` })) },
  ];
  return (
    <Input.Wrapper
      label="Your own thresholds"
      labelElement="div"
      description="A mail when something happens so often, wherever it comes from."
      error={form.thresholds.length === 0 ? fault("thresholds") : undefined}
    >
      <Stack gap="xs" mt={8}>
        {form.thresholds.map((t, i) => {
          const value = t.rule ? `rule ${t.rule}` : `event ${t.event ?? ""}`;
          const known = names.some((g) => g.items.some((n) => n.value === value));
          return (
            // biome-ignore lint/suspicious/noArrayIndexKey: a threshold is nothing but its place
            <Group key={i} gap="sm" align="flex-start">
              <NumberInput
                aria-label={`Threshold ${i + 1}: how often`}
                value={t.count}
                onChange={(n) => put(i, { count: typeof n === "number" ? n : 0 })}
                error={fault(`thresholds[${i}].count`)}
                min={1}
                allowDecimal={false}
                suffix=" times"
                w={130}
              />
              <Select
                aria-label={`Threshold ${i + 1}: what`}
                value={value}
                onChange={(v) => {
                  const [kind, ...rest] = (v ?? "event ").split(" ");
                  const name = rest.join(" ");
                  put(
                    i,
                    kind === "rule" ? { rule: name, event: undefined } : { event: name, rule: undefined },
                  );
                }}
                data={known ? names : [...names, { group: "Yours", items: [{ value, label: value }] }]}
                searchable
                allowDeselect={false}
                error={fault(`thresholds[${i}].event`) ?? fault(`thresholds[${i}].rule`)}
                w={260}
              />
              <DurationInput
                label=""
                name={`Threshold ${i + 1}: within`}
                value={t.seconds}
                onChange={(s) => put(i, { seconds: s ?? 0 })}
                error={fault(`thresholds[${i}].seconds`)}
                min={1}
              />
              <ActionIcon
                variant="subtle"
                color="gray"
                size="lg"
                aria-label={`Delete threshold ${i + 1}`}
                onClick={() => set({ thresholds: form.thresholds.filter((_, j) => j !== i) })}
              >
                <IconTrash size={16} />
              </ActionIcon>
            </Group>
          );
        })}
        <AddButton
          onClick={() =>
            set({
              thresholds: [...form.thresholds, { event: "USER_LOGIN_FAILURE", count: 100, seconds: 3600 }],
            })
          }
        >
          Add a threshold
        </AddButton>
      </Stack>
    </Input.Wrapper>
  );
}

function Recipients() {
  const queries = useQueryClient();
  const list = useQuery({
    queryKey: ["recipients"],
    queryFn: () => data(api.GET("/v1/notifications/recipients")),
  });
  const [text, setText] = useState<string>();
  const test = useTestMail();
  const now = (list.data?.to ?? []).join("\n");
  const value = text ?? now;
  const dirty = text !== undefined && lines(text).join("\n") !== now;
  const save = useMutation({
    mutationFn: () => data(api.PUT("/v1/notifications/recipients", { body: { to: lines(value) } })),
    onSuccess: (view) => {
      queries.setQueryData(["recipients"], view);
      setText(undefined);
      notifyDone("Saved.");
    },
  });
  const faults = faultsOf(save.error);
  const fixed = (list.data?.read_only.length ?? 0) > 0;
  return (
    <Panel
      title="Recipients"
      aside={
        <Button
          size="xs"
          variant="default"
          leftSection={<IconMailForward size={14} />}
          loading={test.isPending}
          disabled={dirty}
          onClick={() => test.mutate([])}
        >
          Send a test to all
        </Button>
      }
    >
      {list.error && !list.data ? (
        <ProblemAlert error={list.error} retry={list.refetch} />
      ) : !list.data ? (
        <Loading label="Loading the recipients" />
      ) : (
        <form
          onSubmit={(e) => {
            e.preventDefault();
            save.mutate();
          }}
        >
          <Stack gap="md">
            {test.result}
            <div>
              <Text size="sm" fw={600}>
                Operators, by their own choice
              </Text>
              <Text size="sm" c={list.data.operators.length > 0 ? undefined : "dimmed"} className="breakable">
                {list.data.operators.join(", ") || "nobody"}
              </Text>
            </div>
            {fixed && (
              <div>
                <Text size="sm" fw={600}>
                  Set by the configuration
                </Text>
                <Text size="sm" className="breakable">
                  {list.data.read_only.join(", ")}
                </Text>
              </div>
            )}
            {!fixed && (
              <Textarea
                label="Also these addresses"
                description="They get every critical alert. One in each line: a mailing list, a ticket system."
                placeholder="security@example.org"
                value={value}
                onChange={(e) => setText(e.currentTarget.value)}
                error={faultAt(faults, "to")}
                autosize
                minRows={2}
                maxRows={10}
                maw={480}
                spellCheck={false}
              />
            )}
            {Object.keys(faults).length === 0 && <ProblemAlert error={save.error} />}
            {dirty && (
              <Group gap="xs">
                <Button type="submit" size="sm" loading={save.isPending}>
                  Save
                </Button>
                <Button variant="default" size="sm" onClick={() => setText(undefined)}>
                  Discard
                </Button>
              </Group>
            )}
          </Stack>
        </form>
      )}
    </Panel>
  );
}

const states = {
  sent: { label: "sent", color: "warder" },
  deferred: { label: "tried again later", color: "yellow" },
  failed: { label: "failed", color: "red" },
  file: { label: "written to a file", color: "gray" },
} as const;
const kinds: Record<Schemas["DeliveryView"]["kind"], string> = {
  alert: "alert",
  digest: "digest",
  system: "from Warder itself",
  test: "test",
  invitation: "invitation",
  reset: "new password",
};

function Deliveries() {
  const [search, change] = useSearchState();
  const state =
    typeof search.state === "string" && search.state in states
      ? (search.state as keyof typeof states)
      : undefined;
  const list = useInfiniteQuery({
    queryKey: ["deliveries", state],
    queryFn: ({ pageParam }) =>
      data(
        api.GET("/v1/notifications/deliveries", {
          params: { query: { state, limit: 50, cursor: pageParam } },
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next,
    refetchInterval: 30_000,
  });
  return (
    <Panel
      title="Delivery log"
      pad={false}
      aside={
        <SegmentedControl
          size="xs"
          aria-label="State of the mails"
          value={state ?? ""}
          onChange={(v) => change({ state: v || undefined })}
          data={[
            { value: "", label: "All" },
            { value: "sent", label: "Sent" },
            { value: "deferred", label: "Waiting" },
            { value: "failed", label: "Failed" },
            { value: "file", label: "Files" },
          ]}
        />
      }
    >
      <DataTable
        label="Mails and what became of them"
        rows={list.data?.pages.flatMap((p) => p.items)}
        error={list.error}
        retry={list.refetch}
        id={(d) => d.id}
        more={list.hasNextPage ? () => list.fetchNextPage() : undefined}
        loadingMore={list.isFetchingNextPage}
        minWidth={820}
        empty={
          <Empty icon={<IconMail />} title={state ? "No such mail" : "No mail yet"}>
            Every mail will stand here with what the mail server answered.
          </Empty>
        }
        columns={[
          { key: "time", title: "When", width: 130, cell: (d) => <When at={d.time} /> },
          {
            key: "to",
            title: "To",
            width: 190,
            cell: (d) => (
              <Text size="sm" className="breakable">
                {d.to}
              </Text>
            ),
          },
          {
            key: "subject",
            title: "Subject",
            cell: (d) => (
              <Stack gap={0}>
                <Text size="sm" className="breakable">
                  {d.subject}
                </Text>
                <Text size="xs" c="dimmed">
                  {kinds[d.kind]}
                  {d.alerts > 1 && `, ${d.alerts} alerts`}
                </Text>
              </Stack>
            ),
          },
          {
            key: "state",
            title: "State",
            width: 160,
            cell: (d) => (
              <Badge variant="light" color={states[d.state].color} tt="none">
                {states[d.state].label}
                {d.attempts > 1 && ` (${d.attempts} tries)`}
              </Badge>
            ),
          },
          {
            key: "answer",
            title: "Answer of the mail server",
            width: "28%",
            cell: (d) => (
              <Text size="xs" className="mono breakable" lineClamp={3} title={d.answer}>
                {d.answer}
              </Text>
            ),
          },
        ]}
      />
    </Panel>
  );
}

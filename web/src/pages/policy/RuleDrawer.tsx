import {
  ActionIcon,
  Button,
  Checkbox,
  Divider,
  Drawer,
  Group,
  Input,
  NativeSelect,
  NumberInput,
  Radio,
  SegmentedControl,
  Select,
  Stack,
  TagsInput,
  Text,
  TextInput,
  Title,
} from "@mantine/core";
import { useId } from "@mantine/hooks";
import { IconTrash, IconX } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useMemo } from "react";
import { api, data } from "@/api/client";
import { AddButton } from "@/components/AddButton";
import { DurationInput } from "@/components/DurationInput";
import { faultsElsewhere } from "@/lib/faults";
import { severities, severityLook } from "@/lib/severity";
import { ActionPicker } from "./ActionPicker";
import { useEdit } from "./context";
import { type DraftRule, type Mode, modeOf, withMode } from "./draft";
import { distincts, exceptions, keys, modeWords, sentence } from "./words";

const builtIn = [
  "*_LOGIN_FAILURE",
  "*_PASSWORD_RESET_REQUEST",
  "*_PASSWORD_RESET_FAILURE",
  "*_PASSWORD_RESET_*",
  "USER_LOGIN_FAILURE",
  "ADMIN_LOGIN_FAILURE",
  "USER_PASSWORD_RESET_REQUEST",
  "USER_PASSWORD_RESET_FAILURE",
  "ADMIN_PASSWORD_RESET_REQUEST",
  "ADMIN_PASSWORD_RESET_FAILURE",
  "MFA_FAILURE",
  "SIGNUP_FAILURE",
  "CHALLENGE_FAILURE",
  "UNAUTHORIZED_ACCESS",
  "SESSION_HIJACK_SUSPECTED",
  "SMPP_BIND_FAILURE",
  "API_KEY_FAILURE",
  "USER_LOGIN_SUCCESS",
  "ADMIN_LOGIN_SUCCESS",
];
const own = new Set([
  "THRESHOLD_EXCEEDED",
  "IP_BLOCKED",
  "IP_UNBLOCKED",
  "SESSION_TERMINATED",
  "SUSPICIOUS_IP",
]);

/** One rule with everything that it can say. */
export function RuleDrawer(props: {
  index: number;
  onClose: () => void;
  onChange: (rule: DraftRule) => void;
  onDelete: (rule: DraftRule) => void;
}) {
  const { draft, readOnly } = useEdit();
  const rule = draft.activity.rules[props.index];
  return (
    <Drawer
      opened={rule !== undefined}
      onClose={props.onClose}
      position="right"
      size={560}
      padding="lg"
      title={
        <Text fw={650} fz="lg" className="breakable">
          {rule?.id || "Rule"}
        </Text>
      }
      closeButtonProps={{ "aria-label": "Close the rule" }}
    >
      {rule && (
        <Stack gap="lg" pb="xl">
          <RuleForm rule={rule} index={props.index} onChange={props.onChange} />
          <Group justify="space-between">
            {!readOnly ? (
              <Button
                variant="subtle"
                color="red"
                size="sm"
                leftSection={<IconTrash size={15} />}
                onClick={() => props.onDelete(rule)}
              >
                Delete the rule
              </Button>
            ) : (
              <span />
            )}
            <Button variant="default" size="sm" onClick={props.onClose}>
              Done
            </Button>
          </Group>
        </Stack>
      )}
    </Drawer>
  );
}

function RuleForm({
  rule,
  index,
  onChange,
}: {
  rule: DraftRule;
  index: number;
  onChange: (rule: DraftRule) => void;
}) {
  const { faults, fault, readOnly } = useEdit();
  const at = `activity.rules[${index}]`;
  const f = (name: string) => fault(`${at}.${name}`);
  const set = (change: Partial<DraftRule>) => onChange({ ...rule, ...change });
  const seen = useQuery({
    queryKey: ["stats", "types", "names"],
    queryFn: () => data(api.GET("/v1/stats/types")),
    staleTime: 300_000,
  });
  const names = useMemo(
    () => [
      ...new Set([...builtIn, ...(seen.data?.items ?? []).map((t) => t.name).filter((n) => !own.has(n))]),
    ],
    [seen.data],
  );
  const escalates = (rule.escalate ?? []).length > 0;
  const ends = rule.key === "session";
  const rest = faultsElsewhere(
    Object.fromEntries(
      Object.entries(faults)
        .filter(([k]) => k.startsWith(at))
        .map(([k, v]) => [k.slice(at.length + 1), v]),
    ),
    [
      "id",
      "mode",
      "events",
      "key",
      "distinct",
      "threshold",
      "time_range",
      "cooling_period",
      "escalate",
      "at_most",
      "action",
      "severity",
      "realms",
      "reasons",
      "except",
    ],
  );
  return (
    <Stack gap="lg">
      <Text
        size="sm"
        p="sm"
        bg="var(--mantine-primary-color-light)"
        style={{ borderRadius: "var(--mantine-radius-md)" }}
      >
        {sentence(rule)}.
      </Text>
      {Object.entries(rest).map(([k, v]) => (
        <Input.Error key={k}>
          {k} {v}
        </Input.Error>
      ))}
      <Group gap="md" align="flex-start">
        <TextInput
          label="Name"
          description="Shown on every block that it makes."
          value={rule.id}
          onChange={(e) => set({ id: e.currentTarget.value })}
          error={f("id")}
          disabled={readOnly}
          flex={1}
          miw={180}
          classNames={{ input: "mono" }}
          maxLength={64}
          data-autofocus={rule.id.startsWith("rule") || undefined}
        />
        <Labelled label="Mode" error={f("mode")}>
          {(id) => (
            <SegmentedControl
              aria-labelledby={id}
              value={modeOf(rule)}
              onChange={(m) => onChange(withMode(rule, m as Mode))}
              disabled={readOnly}
              data={(["off", "observe", "enforce"] as Mode[]).map((value) => ({
                value,
                label: modeWords[value],
              }))}
            />
          )}
        </Labelled>
      </Group>

      <Part title="What counts">
        <TagsInput
          label="Event name"
          description="Choose or write any name. * stands for any run of characters."
          placeholder={rule.events.length === 0 ? "USER_LOGIN_FAILURE" : ""}
          value={rule.events}
          onChange={(events) => set({ events: events.map((e) => e.trim().toUpperCase()) })}
          data={names}
          error={f("events")}
          disabled={readOnly}
          maxDropdownHeight={240}
          splitChars={[",", " "]}
          acceptValueOnBlur
          classNames={{ pill: "mono", input: "mono" }}
          comboboxProps={{ withinPortal: true }}
        />
        <Group gap="md" align="flex-start" grow>
          <NativeSelect
            label="Counted for each"
            value={rule.key}
            onChange={(e) => {
              const key = e.currentTarget.value;
              set({
                key,
                ...(key === "session" ? { cooling_period: 0, escalate: undefined, action: "block" } : {}),
              });
            }}
            data={keys.map(({ value, label }) => ({ value, label }))}
            error={f("key")}
            disabled={readOnly}
          />
          <NativeSelect
            label="What is counted"
            value={rule.distinct ?? ""}
            onChange={(e) => set({ distinct: e.currentTarget.value || undefined })}
            data={distincts}
            error={f("distinct")}
            disabled={readOnly}
          />
        </Group>
        <Group gap="md" align="flex-start">
          <NumberInput
            label="Attempt threshold"
            value={rule.threshold ?? ""}
            onChange={(n) => set({ threshold: typeof n === "number" ? n : undefined })}
            error={f("threshold")}
            disabled={readOnly}
            min={1}
            allowDecimal={false}
            thousandSeparator=","
            w={150}
          />
          <DurationInput
            key={`range ${rule.uid}`}
            label="Time range"
            value={rule.time_range}
            onChange={(time_range) => set({ time_range })}
            error={f("time_range")}
            disabled={readOnly}
            min={1}
          />
        </Group>
      </Part>

      <Part title="What happens then">
        <ActionPicker
          label="Action"
          value={rule.action as "block"}
          onChange={(action) => set({ action, ...(action !== "block" ? collapse(rule) : {}) })}
          error={f("action")}
          disabled={readOnly || ends}
          description={
            ends
              ? "The session ends and never comes back; the person may sign in again."
              : rule.key === "realm"
                ? "A whole realm is never blocked: CAPTCHA or MFA only."
                : undefined
          }
        />
        {!ends && (
          <>
            <Radio.Group
              label="Cooling period"
              value={escalates ? "escalate" : "fixed"}
              onChange={(v) =>
                set(v === "escalate" ? { escalate: steps(rule), cooling_period: undefined } : collapse(rule))
              }
            >
              <Group mt={6} gap="lg">
                <Radio value="fixed" label="Always the same" disabled={readOnly} />
                <Radio
                  value="escalate"
                  label="Longer each time"
                  disabled={readOnly || (rule.action !== "block" && !escalates)}
                />
              </Group>
            </Radio.Group>
            {escalates ? (
              <Escalation rule={rule} set={set} f={f} disabled={readOnly} />
            ) : (
              <DurationInput
                key={`cooling ${rule.uid}`}
                label="Lasts"
                name="Cooling period"
                description="How long it stays before it ends by itself. 0 makes it permanent."
                value={rule.cooling_period}
                onChange={(cooling_period) => set({ cooling_period })}
                error={f("cooling_period") ?? f("escalate")}
                disabled={readOnly}
                zero="permanent, until somebody lifts it"
              />
            )}
            <AtMost rule={rule} set={set} f={f} disabled={readOnly} />
          </>
        )}
        <NativeSelect
          label="Severity"
          description="Critical also sends an alert by mail."
          value={rule.severity}
          onChange={(e) => set({ severity: e.currentTarget.value as DraftRule["severity"] })}
          data={severities.map((s) => ({ value: s, label: severityLook[s].label }))}
          error={f("severity")}
          disabled={readOnly}
          styles={{ wrapper: { maxWidth: 200 } }}
        />
      </Part>

      <Part title="Only for">
        <TagsInput
          label="Realms"
          description="Parts of the platform, as the application names them. None: all."
          value={rule.realms ?? []}
          onChange={(realms) => set({ realms })}
          error={f("realms")}
          disabled={readOnly}
          placeholder={(rule.realms ?? []).length === 0 ? "all realms" : ""}
          acceptValueOnBlur
        />
        <TagsInput
          label="Reasons"
          description="What the application says went wrong. None: all."
          value={rule.reasons ?? []}
          onChange={(reasons) => set({ reasons })}
          data={["wrong_password", "unknown_account", "mfa_failed"]}
          error={f("reasons")}
          disabled={readOnly}
          placeholder={(rule.reasons ?? []).length === 0 ? "all reasons" : ""}
          acceptValueOnBlur
        />
        <Checkbox.Group
          label="Passes over"
          value={rule.except ?? []}
          onChange={(except) => set({ except })}
          error={f("except")}
        >
          <Stack gap={6} mt={6}>
            {exceptions.map((e) => (
              <Checkbox key={e.value} value={e.value} label={e.label} disabled={readOnly} />
            ))}
          </Stack>
        </Checkbox.Group>
      </Part>
    </Stack>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Stack gap="sm">
      <Divider
        label={
          <Title order={3} fz="sm" c="var(--mantine-color-text)">
            {title}
          </Title>
        }
        labelPosition="left"
      />
      {children}
    </Stack>
  );
}

function Labelled(props: { label: string; error?: ReactNode; children: (id: string) => ReactNode }) {
  const id = useId();
  return (
    <Input.Wrapper label={props.label} labelElement="div" labelProps={{ id }} error={props.error}>
      <div>{props.children(id)}</div>
    </Input.Wrapper>
  );
}

type PartProps = {
  rule: DraftRule;
  set: (change: Partial<DraftRule>) => void;
  f: (name: string) => string | undefined;
  disabled: boolean;
};

const usual = [900, 3600, 14400, 57600, 230400, 604800];
const steps = (r: DraftRule) =>
  r.cooling_period ? [r.cooling_period, ...usual.filter((s) => s > (r.cooling_period ?? 0))] : usual;
const collapse = (r: DraftRule): Partial<DraftRule> => ({
  escalate: undefined,
  cooling_period: r.cooling_period ?? r.escalate?.[0] ?? 3600,
});

function Escalation({ rule, set, f, disabled }: PartProps) {
  const list = rule.escalate ?? [];
  return (
    <Stack gap="xs">
      <Text size="xs" c="dimmed">
        The step is the number of automatic blocks that ended within 7 days and that nobody lifted. The last
        step repeats; 0 there means until lifted.
      </Text>
      {list.map((s, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a step is nothing but its place
        <Group key={`${rule.uid} ${i} of ${list.length}`} gap="xs" align="flex-end" wrap="nowrap">
          <DurationInput
            label={i === 0 ? "First block" : i === list.length - 1 ? "From then on" : `Block ${i + 1}`}
            name={`Length of block ${i + 1}`}
            value={s}
            onChange={(v) => set({ escalate: list.map((x, j) => (j === i ? (v ?? 0) : x)) })}
            error={f(`escalate[${i}]`)}
            disabled={disabled}
            zero="until lifted"
          />
          <ActionIcon
            variant="subtle"
            color="gray"
            size="lg"
            disabled={disabled || list.length === 1}
            aria-label={`Delete step ${i + 1}`}
            onClick={() => set({ escalate: list.filter((_, j) => j !== i) })}
          >
            <IconX size={15} />
          </ActionIcon>
        </Group>
      ))}
      {!disabled && (
        <AddButton
          disabled={list.length >= 16}
          onClick={() => set({ escalate: [...list, (list.at(-1) ?? 900) * 4] })}
        >
          Add a step
        </AddButton>
      )}
    </Stack>
  );
}

/** A shorter end for events of machines, which retry by themselves. */
function AtMost({ rule, set, f, disabled }: PartProps) {
  const entries = Object.entries(rule.at_most ?? {});
  const put = (list: [string, number][]) => set({ at_most: Object.fromEntries(list) });
  const free = rule.events.filter((e) => !e.includes("*") && !entries.some(([name]) => name === e));
  if (entries.length === 0 && (disabled || rule.events.length === 0)) return null;
  return (
    <Input.Wrapper
      label="Shorter for single events"
      labelElement="div"
      description="If this event was the one that reached the threshold, it lasts no longer than this."
      error={f("at_most")}
    >
      <Stack gap="xs" mt={6}>
        {entries.map(([name, seconds]) => (
          <Group key={name} gap="xs" align="flex-start" justify="flex-end">
            <Text size="sm" className="mono breakable" flex={1} miw={200} mt={8}>
              {name}
            </Text>
            <Group gap="xs" align="flex-start" wrap="nowrap">
              <DurationInput
                label=""
                name={`At most for ${name}`}
                value={seconds}
                onChange={(v) => put(entries.map(([n, s]) => [n, n === name ? (v ?? 0) : s]))}
                disabled={disabled}
              />
              <ActionIcon
                variant="subtle"
                color="gray"
                disabled={disabled}
                aria-label={`No shorter end for ${name}`}
                onClick={() => put(entries.filter(([n]) => n !== name))}
              >
                <IconX size={15} />
              </ActionIcon>
            </Group>
          </Group>
        ))}
        {!disabled && (
          <Select
            aria-label="Event that gets a shorter end"
            placeholder="Add an event"
            size="xs"
            value={null}
            data={[
              ...new Set([
                ...free,
                ...(rule.events.some((e) => e.includes("*"))
                  ? builtIn.filter(
                      (e) =>
                        !e.includes("*") &&
                        !entries.some(([n]) => n === e) &&
                        rule.events.some((p) => fits(p, e)),
                    )
                  : []),
              ]),
            ]}
            onChange={(name) => name && put([...entries, [name, 900]])}
            searchable
            nothingFoundMessage="No other event of this rule"
            w={260}
          />
        )}
      </Stack>
    </Input.Wrapper>
  );
}

const fits = (pattern: string, name: string) => {
  const parts = pattern.split("*").map((p) => p.replace(/[^A-Z0-9_]/g, ""));
  return new RegExp(`^${parts.join(".*")}$`).test(name);
};

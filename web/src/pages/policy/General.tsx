import {
  ActionIcon,
  Anchor,
  Button,
  Group,
  Radio,
  SimpleGrid,
  Stack,
  Text,
  Textarea,
  TextInput,
} from "@mantine/core";
import { DateTimePicker } from "@mantine/dates";
import { IconTrash } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { AddButton } from "@/components/AddButton";
import { Panel } from "@/components/Page";
import { dayjs, timeZone } from "@/lib/time";
import { useEdit } from "./context";
import { type DraftBlocked, lines, type Mode, modeOf, uid, withMode } from "./draft";

const modes: { value: Mode; label: string; about: string }[] = [
  { value: "off", label: "Off", about: "Events are stored. Nothing is counted and nobody is refused." },
  {
    value: "observe",
    label: "Observe",
    about: "Everything is decided and shown, but nobody is refused. Blocks made by hand stay in force.",
  },
  {
    value: "enforce",
    label: "Enforce",
    about: "Decisions are carried out. Single rules may still only observe.",
  },
];

/** General configuration: whether Warder acts, whom it always lets in, whom it never does. */
export function General() {
  const { draft, update, fault, readOnly } = useEdit();
  const count = lines(draft.trusted).length;
  return (
    <Stack gap="md">
      <Panel title="Enable">
        <Radio.Group
          aria-label="Enable"
          value={modeOf(draft)}
          onChange={(m) => update((d) => withMode(d, m as Mode))}
          error={fault("mode")}
        >
          <SimpleGrid cols={{ base: 1, sm: 3 }} spacing="sm">
            {modes.map((m) => (
              <Radio.Card
                key={m.value}
                value={m.value}
                disabled={readOnly}
                p="sm"
                radius="md"
                aria-label={m.label}
                style={{ display: "flex", alignItems: "flex-start" }}
              >
                <Group wrap="nowrap" align="flex-start" gap="sm">
                  <Radio.Indicator disabled={readOnly} mt={2} />
                  <div>
                    <Text fw={600} size="sm">
                      {m.label}
                    </Text>
                    <Text size="sm" c="dimmed">
                      {m.about}
                    </Text>
                  </div>
                </Group>
              </Radio.Card>
            ))}
          </SimpleGrid>
        </Radio.Group>
      </Panel>
      <Panel
        title="Trusted IP addresses"
        aside={
          <Text size="xs" c="dimmed">
            {count === 0 ? "none" : count.toLocaleString("en")}
          </Text>
        }
      >
        <Stack gap="xs">
          <Text size="sm" c="dimmed">
            Never counted, never challenged, never blocked. Offices, VPNs, monitoring. Addresses that were
            trusted by hand, with a note and an end, stand under{" "}
            <Anchor component={Link} to="/trusted" size="sm">
              Trusted
            </Anchor>
            .
          </Text>
          <Textarea
            label="Addresses and prefixes, one in each line"
            placeholder={"10.20.0.0/16\n2001:db8:7::/48"}
            value={draft.trusted}
            onChange={(e) => {
              const trusted = e.currentTarget.value;
              update((d) => ({ ...d, trusted }));
            }}
            error={trustedFault(fault("trusted"), draft.trusted)}
            disabled={readOnly}
            autosize
            minRows={3}
            maxRows={14}
            maw={560}
            styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: 13 } }}
            spellCheck={false}
          />
        </Stack>
      </Panel>
      <Blocked />
    </Stack>
  );
}

/** Faults count entries, people read them: show which one is meant. */
function trustedFault(message: string | undefined, text: string) {
  const n = /^Entry (\d+): /.exec(message ?? "");
  const entry = n && lines(text)[Number(n[1]) - 1];
  return entry ? `${entry}: ${message?.slice(n[0].length)}` : message;
}

const shownAtFirst = 50;

function Blocked() {
  const { draft, update, fault, readOnly } = useEdit();
  const [shown, setShown] = useState(shownAtFirst);
  const set = (id: string, change: Partial<DraftBlocked>) =>
    update((d) => ({ ...d, blocked: d.blocked.map((b) => (b.uid === id ? { ...b, ...change } : b)) }));
  return (
    <Panel
      title="Blocked IP addresses"
      aside={
        <Text size="xs" c="dimmed">
          {draft.blocked.length === 0 ? "none" : draft.blocked.length.toLocaleString("en")}
        </Text>
      }
    >
      <Stack gap="xs">
        <Text size="sm" c="dimmed">
          Refused for as long as they stand here. For a block in the heat of the moment there is{" "}
          <Anchor component={Link} to="/blocks" size="sm">
            Blocks
          </Anchor>
          .
        </Text>
        {draft.blocked.slice(0, shown).map((b, i) => (
          <Group key={b.uid} gap="xs" align="flex-start" wrap="wrap">
            <TextInput
              aria-label={`Blocked address ${i + 1}`}
              placeholder="198.51.100.0/24"
              value={b.ip}
              onChange={(e) => set(b.uid, { ip: e.currentTarget.value })}
              error={fault(`blocked[${i}].ip`)}
              disabled={readOnly}
              w={{ base: "100%", sm: 220 }}
              classNames={{ input: "mono" }}
              spellCheck={false}
            />
            <TextInput
              aria-label={`Reason for blocked address ${i + 1}`}
              placeholder="Reason"
              value={b.reason}
              onChange={(e) => set(b.uid, { reason: e.currentTarget.value })}
              error={fault(`blocked[${i}].reason`)}
              disabled={readOnly}
              flex={1}
              miw={160}
            />
            <DateTimePicker
              aria-label={`End of blocked address ${i + 1}`}
              placeholder="permanent"
              value={b.until ? dayjs(b.until).tz(timeZone()).format("YYYY-MM-DD HH:mm:ss") : null}
              onChange={(t) => set(b.uid, { until: t ? dayjs.tz(t, timeZone()).toISOString() : null })}
              error={fault(`blocked[${i}].until`)}
              disabled={readOnly}
              valueFormat="D MMM YYYY HH:mm"
              clearable
              w={190}
            />
            <ActionIcon
              variant="subtle"
              color="gray"
              size="lg"
              disabled={readOnly}
              aria-label={`Take ${b.ip || `entry ${i + 1}`} out of the list`}
              onClick={() => update((d) => ({ ...d, blocked: d.blocked.filter((x) => x.uid !== b.uid) }))}
            >
              <IconTrash size={16} />
            </ActionIcon>
          </Group>
        ))}
        <Group gap="xs">
          {!readOnly && (
            <AddButton
              onClick={() => {
                setShown(Math.max(draft.blocked.length + 1, shown));
                update((d) => ({
                  ...d,
                  blocked: [...d.blocked, { uid: uid(), ip: "", reason: "", until: null }],
                }));
              }}
            >
              Add an address
            </AddButton>
          )}
          {draft.blocked.length > shown && (
            <Button size="xs" variant="subtle" onClick={() => setShown((n) => n + 200)}>
              Show more of {draft.blocked.length.toLocaleString("en")}
            </Button>
          )}
        </Group>
      </Stack>
    </Panel>
  );
}

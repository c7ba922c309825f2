import {
  ActionIcon,
  Badge,
  Box,
  Group,
  Menu,
  SegmentedControl,
  Stack,
  Switch,
  Text,
  UnstyledButton,
} from "@mantine/core";
import {
  IconAlertTriangle,
  IconArrowDown,
  IconArrowUp,
  IconCopy,
  IconDots,
  IconPencil,
  IconTrash,
} from "@tabler/icons-react";
import { AddButton } from "@/components/AddButton";
import { Empty, notifyDone } from "@/components/Feedback";
import { Panel } from "@/components/Page";
import { SeverityBadge } from "@/components/Severity";
import { useSearchState } from "@/lib/search";
import { useEdit } from "./context";
import { type DraftRule, freeId, type Mode, modeOf, move, newRule, uid, withMode } from "./draft";
import { RuleDrawer } from "./RuleDrawer";
import classes from "./Rules.module.css";
import { modeWords, sentence } from "./words";

/** Activity event criteria: the rules that count events and act at a threshold. */
export function Rules() {
  const { draft, update, faults, readOnly } = useEdit();
  const [search, change] = useSearchState();
  const { enabled, rules } = draft.activity;
  const open = rules.findIndex((r) => r.id === search.rule || r.uid === search.rule);
  const setRules = (next: (rules: DraftRule[]) => DraftRule[]) =>
    update((d) => ({ ...d, activity: { ...d.activity, rules: next(d.activity.rules) } }));
  const add = (rule: DraftRule, at = rules.length) => {
    setRules((list) => [...list.slice(0, at), rule, ...list.slice(at)]);
    change({ rule: rule.uid });
  };
  const remove = (rule: DraftRule) => {
    const at = rules.indexOf(rule);
    setRules((list) => list.filter((r) => r.uid !== rule.uid));
    if (open === at) change({ rule: undefined });
    notifyDone(`Rule ${rule.id} is taken out of the draft.`, () =>
      setRules((list) => [...list.slice(0, at), rule, ...list.slice(at)]),
    );
  };
  const faulty = (i: number) =>
    Object.keys(faults).filter((at) => at.startsWith(`activity.rules[${i}]`)).length;
  return (
    <Panel
      title="Activity event criteria"
      pad={false}
      aside={
        <Switch
          label="Enable"
          labelPosition="left"
          checked={enabled}
          onChange={(e) => {
            const on = e.currentTarget.checked;
            update((d) => ({ ...d, activity: { ...d.activity, enabled: on } }));
          }}
          disabled={readOnly}
        />
      }
    >
      <Text size="sm" c="dimmed" px="md" pb="sm" maw={760}>
        Each rule counts events within its time range. At its threshold it acts, for its cooling period. If
        one event brings several rules to their threshold, the strongest and longest acts; of equals, the one
        that stands first.
      </Text>
      {rules.length === 0 && (
        <Empty title="No rules">Nothing is counted. Add a rule, or begin with a preset.</Empty>
      )}
      <Box component="ol" className={classes.list} data-off={!enabled || undefined}>
        {rules.map((rule, i) => {
          const mode = modeOf(rule);
          const n = faulty(i);
          return (
            <li key={rule.uid} className={classes.row} data-off={mode === "off" || undefined}>
              <Text className={`numeric ${classes.number}`} size="xs" c="dimmed" aria-hidden="true">
                {i + 1}
              </Text>
              <UnstyledButton
                className={classes.main}
                onClick={() => change({ rule: rule.uid })}
                aria-label={`${readOnly ? "Show" : "Edit"} rule ${rule.id}`}
              >
                <Group gap={8} wrap="wrap">
                  <Text fw={600} size="sm" className="breakable">
                    {rule.id || "(no name)"}
                  </Text>
                  {n > 0 && (
                    <Badge
                      color="red"
                      variant="light"
                      leftSection={<IconAlertTriangle size={11} />}
                      tt="none"
                    >
                      {n === 1 ? "1 fault" : `${n} faults`}
                    </Badge>
                  )}
                </Group>
                <Text size="sm" className="breakable">
                  {capital(sentence(rule))}
                </Text>
                <Text size="xs" c="dimmed" className={`mono ${classes.events}`}>
                  {rule.events.join(" · ")}
                </Text>
              </UnstyledButton>
              <Box className={classes.severity} visibleFrom="md">
                <SeverityBadge severity={rule.severity} />
              </Box>
              <SegmentedControl
                className={classes.mode}
                size="xs"
                aria-label={`Mode of rule ${rule.id}`}
                value={mode}
                disabled={readOnly}
                onChange={(m) =>
                  setRules((list) => list.map((r) => (r.uid === rule.uid ? withMode(r, m as Mode) : r)))
                }
                data={(["off", "observe", "enforce"] as Mode[]).map((value) => ({
                  value,
                  label: modeWords[value],
                }))}
              />
              <Group gap={2} wrap="nowrap" className={classes.actions}>
                {!readOnly && (
                  <>
                    <ActionIcon
                      variant="subtle"
                      color="gray"
                      aria-label={`Move rule ${rule.id} up`}
                      disabled={i === 0}
                      onClick={() => setRules((list) => move(list, i, -1))}
                    >
                      <IconArrowUp size={15} />
                    </ActionIcon>
                    <ActionIcon
                      variant="subtle"
                      color="gray"
                      aria-label={`Move rule ${rule.id} down`}
                      disabled={i === rules.length - 1}
                      onClick={() => setRules((list) => move(list, i, 1))}
                    >
                      <IconArrowDown size={15} />
                    </ActionIcon>
                  </>
                )}
                <Menu withinPortal position="bottom-end">
                  <Menu.Target>
                    <ActionIcon variant="subtle" color="gray" aria-label={`More for rule ${rule.id}`}>
                      <IconDots size={16} />
                    </ActionIcon>
                  </Menu.Target>
                  <Menu.Dropdown>
                    <Menu.Item
                      leftSection={<IconPencil size={14} />}
                      onClick={() => change({ rule: rule.uid })}
                    >
                      {readOnly ? "Show" : "Edit"}
                    </Menu.Item>
                    {!readOnly && (
                      <>
                        <Menu.Item
                          leftSection={<IconCopy size={14} />}
                          onClick={() =>
                            add(
                              { ...structuredClone(rule), uid: uid(), id: freeId(`${rule.id}_copy`, rules) },
                              i + 1,
                            )
                          }
                        >
                          Duplicate
                        </Menu.Item>
                        <Menu.Item
                          color="red"
                          c="var(--mantine-color-error)"
                          leftSection={<IconTrash size={14} />}
                          onClick={() => remove(rule)}
                        >
                          Delete
                        </Menu.Item>
                      </>
                    )}
                  </Menu.Dropdown>
                </Menu>
              </Group>
            </li>
          );
        })}
      </Box>
      {!readOnly && (
        <Box p="md">
          <AddButton onClick={() => add(newRule(rules))}>Add a rule</AddButton>
        </Box>
      )}
      <Stack>
        <RuleDrawer
          index={open}
          onClose={() => change({ rule: undefined })}
          onChange={(rule) => setRules((list) => list.map((r) => (r.uid === rule.uid ? rule : r)))}
          onDelete={remove}
        />
      </Stack>
    </Panel>
  );
}

const capital = (s: string) => s.charAt(0).toUpperCase() + s.slice(1);

import { Group, Stack, Text } from "@mantine/core";
import { Fragment } from "react";
import type { Schemas } from "@/api/client";
import { AccountLink } from "./Links";

export type Event = Schemas["EventView"];

const words: Record<string, string> = {
  wrong_password: "wrong password",
  unknown_account: "no such account",
  locked: "account locked",
  mfa_failed: "wrong second factor",
  expired: "expired",
  unsettled: "outcome never reported",
  agent_changed: "browser changed",
  manual: "by hand",
};

/** A reason in words; one of the application's own as it stands. */
export const reasonWords = (reason: string) => words[reason] ?? reason;

/** What happened, in one line or two: whose account, why it failed, what was asked for. */
export function EventDetails({ event, account = true }: { event: Event; account?: boolean }) {
  const request = [event.method, event.path].filter(Boolean).join(" ");
  const facts = [
    event.reason && reasonWords(event.reason),
    request,
    !event.account && !event.reason && !request && event.rule,
  ]
    .filter(Boolean)
    .join(" · ");
  if (!account)
    return facts ? (
      <Text size="sm" lineClamp={1} className="breakable" c="dimmed">
        {facts}
      </Text>
    ) : (
      <Text size="sm">–</Text>
    );
  return (
    <Stack gap={0}>
      {event.account && <AccountLink account={event.account} realm={event.realm} />}
      {facts && (
        <Text size="xs" c="dimmed" lineClamp={1} className="breakable">
          {facts}
        </Text>
      )}
      {!event.account && !facts && <Text size="sm">–</Text>}
    </Stack>
  );
}

const decisions: Record<string, { label: string; color: string }> = {
  allow: { label: "Let through", color: "var(--mantine-color-dimmed)" },
  challenge: { label: "Challenged", color: "var(--severity-warning-text)" },
  mfa: { label: "Second factor", color: "var(--severity-info-text)" },
  block: { label: "Blocked", color: "var(--severity-critical-text)" },
};

/** What was decided on an event. */
export function DecisionWord({ action }: { action?: string }) {
  const look = decisions[action ?? ""];
  if (!look) return <Text size="sm">–</Text>;
  return (
    <Group gap={6} wrap="nowrap">
      <Text size="sm" fw={action === "allow" ? 400 : 550} c={look.color}>
        {look.label}
      </Text>
    </Group>
  );
}

/** The name of an event: the word that policies and filters know it by. It may
 * break after each "_". */
export function EventName({ name, dim = false }: { name?: string; dim?: boolean }) {
  if (!name) return <Text size="sm">–</Text>;
  return (
    <Text span size="xs" className="mono breakable" fw={dim ? 400 : 500} c={dim ? "dimmed" : undefined}>
      {name.split("_").map((part, i, all) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the parts never change their order
        <Fragment key={i}>
          {part}
          {i < all.length - 1 && (
            <>
              _<wbr />
            </>
          )}
        </Fragment>
      ))}
    </Text>
  );
}

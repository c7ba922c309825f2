import { Box, Group, Text } from "@mantine/core";
import { Fragment } from "react";
import type { Schemas } from "@/api/client";
import { straight } from "@/lib/words";
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

/** Why and what was asked for, in words: "wrong password · POST /login". */
export const factsOf = (event: Event) =>
  [event.reason && reasonWords(event.reason), straight([event.method, event.path].filter(Boolean).join(" "))]
    .filter(Boolean)
    .join(" · ");

/** What happened, in one line: whose account, why it failed, what was asked for. */
export function EventDetails({ event, account = true }: { event: Event; account?: boolean }) {
  const facts = factsOf(event) || (event.rule ? `rule ${event.rule}` : "");
  return (
    <Group gap="sm" wrap="nowrap" miw={0}>
      {account && event.account && (
        <Box miw={0} style={{ flex: "0 1 auto" }} className="one-line">
          <AccountLink account={event.account} />
        </Box>
      )}
      {facts && (
        <Text size="sm" c="dimmed" className="one-line" miw={0} flex="0 3 auto" title={facts}>
          {facts}
        </Text>
      )}
      {!facts && !(account && event.account) && <Text size="sm">–</Text>}
    </Group>
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

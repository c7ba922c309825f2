import { Anchor, Box, Group, List, SimpleGrid, Stack, Text, ThemeIcon } from "@mantine/core";
import {
  IconAlertTriangle,
  IconCloudOff,
  IconEye,
  IconShieldCheckFilled,
  IconShieldHalf,
  IconShieldOff,
} from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { api, data } from "@/api/client";
import { type Posture, usePosture } from "@/lib/posture";
import { exact, relative, timeZone } from "@/lib/time";

export const postureLooks: Record<Posture["state"], { icon: typeof IconEye; color: string; tone: string }> = {
  unknown: { icon: IconShieldHalf, color: "gray", tone: "var(--mantine-color-dimmed)" },
  away: { icon: IconCloudOff, color: "red", tone: "var(--severity-critical-text)" },
  off: { icon: IconShieldOff, color: "red", tone: "var(--severity-critical-text)" },
  observing: { icon: IconEye, color: "blue", tone: "var(--severity-info-text)" },
  attention: { icon: IconAlertTriangle, color: "yellow", tone: "var(--severity-warning-text)" },
  protecting: { icon: IconShieldCheckFilled, color: "warder", tone: "var(--state-good)" },
};

/** Where on the dashboard something can be done about a reason. */
const remedies: Record<string, [to: string, label: string]> = {
  mail_unconfigured: ["/settings", "Set up mail"],
  mail_failing: ["/settings", "To the mail settings"],
  mail_no_recipient: ["/notifications", "Choose who is told"],
  client_address_suspect: ["/settings", "Name the proxy"],
  untrusted_forwarder: ["/settings", "Name the proxy"],
  provider_failing: ["/providers", "To the providers"],
  provider_held: ["/providers", "To the providers"],
  no_rules: ["/policy", "To the policy"],
  blocks_full: ["/blocks", "To the blocks"],
  blast_radius: ["/blocks", "To the blocks"],
};

/** What is not as it should be, since when, and what to do about it. */
export function PostureReasons({ reasons }: { reasons: Posture["reasons"] }) {
  return (
    <List spacing="xs" listStyleType="none" size="sm">
      {reasons.map((r) => (
        <List.Item key={`${r.reason} ${r.detail}`}>
          <Group gap={8} wrap="nowrap" align="flex-start">
            <Box c="var(--severity-warning-text)" pt={2} lh={1}>
              <IconAlertTriangle size={15} aria-hidden />
            </Box>
            <Stack gap={0} miw={0}>
              <Text size="sm" className="breakable">
                {r.detail ?? r.reason}{" "}
                <Text span size="xs" c="dimmed" title={`${exact(r.since)} ${timeZone()}`}>
                  since {relative(r.since).replace(" ago", "")}
                </Text>
              </Text>
              {r.remedy && (
                <Text size="xs" c="dimmed" className="breakable">
                  {r.remedy}
                </Text>
              )}
              {remedies[r.reason] && (
                <Anchor component={Link} to={remedies[r.reason]?.[0]} size="sm" fw={550} w="fit-content">
                  {remedies[r.reason]?.[1]}
                </Anchor>
              )}
            </Stack>
          </Group>
        </List.Item>
      ))}
    </List>
  );
}

const modes: Record<string, string> = { enforce: "Enforce", observe: "Observe", off: "Off" };

/** The state of protection: mode, policy, threat feeds, mail, and what is wrong. */
export function Protection() {
  const posture = usePosture();
  const providers = useQuery({ queryKey: ["providers"], queryFn: () => data(api.GET("/v1/providers")) });
  const look = postureLooks[posture.state];
  const on = (providers.data?.items ?? []).filter((p) => p.enabled);
  const failing = on.filter((p) => p.status?.last_error || p.status?.held || p.status?.stale);
  const mail = posture.reasons.find((r) => r.reason.startsWith("mail_"));
  return (
    <Box
      component="section"
      className="surface"
      p="md"
      aria-label="State of protection"
      style={{ borderRadius: "var(--mantine-radius-md)" }}
    >
      <Group gap="xl" align="center" wrap="wrap">
        <Group gap="sm" wrap="nowrap" flex="1 1 320px" miw={0}>
          <ThemeIcon size={40} radius="md" variant="light" color={look.color}>
            <look.icon size={22} />
          </ThemeIcon>
          <Stack gap={0} miw={0}>
            <Text fw={650}>{posture.title}</Text>
            <Text size="sm" c="dimmed">
              {posture.about}
            </Text>
          </Stack>
        </Group>
        <SimpleGrid
          component="dl"
          m={0}
          cols={{ base: 2, xs: 4 }}
          spacing="xl"
          verticalSpacing="xs"
          flex="0 1 auto"
        >
          <Fact name="Mode" to="/policy">
            {modes[posture.mode ?? ""] ?? "–"}
          </Fact>
          <Fact name="Policy" to="/policy">
            {posture.state === "unknown"
              ? "–"
              : `${posture.preset ? `${posture.preset[0]?.toUpperCase()}${posture.preset.slice(1)}` : "Own"}, ${posture.rules} rules`}
          </Fact>
          <Fact
            name="Threat feeds"
            to="/providers"
            tone={failing.length > 0 ? "var(--severity-warning-text)" : undefined}
          >
            {!providers.data
              ? "–"
              : on.length === 0
                ? "None on"
                : failing.length > 0
                  ? `${failing.length} of ${on.length} failing`
                  : `${on.length} on`}
          </Fact>
          <Fact
            name="Alert mail"
            to="/notifications"
            tone={mail ? "var(--severity-warning-text)" : undefined}
          >
            {posture.state === "unknown" || posture.state === "away"
              ? "–"
              : !mail
                ? "Sent"
                : mail.reason === "mail_unconfigured"
                  ? "Not set up"
                  : "Failing"}
          </Fact>
        </SimpleGrid>
      </Group>
      {posture.reasons.length > 0 && (
        <Box mt="md" pt="md" style={{ borderTop: "1px solid var(--surface-border)" }}>
          <PostureReasons reasons={posture.reasons} />
        </Box>
      )}
    </Box>
  );
}

function Fact(props: { name: string; to: string; tone?: string; children: ReactNode }) {
  return (
    <Box>
      <Text component="dt" size="xs" c="dimmed">
        {props.name}
      </Text>
      <Text component="dd" m={0} size="sm" fw={550} style={{ whiteSpace: "nowrap" }}>
        <Anchor component={Link} to={props.to} c={props.tone ?? "inherit"} inherit>
          {props.children}
        </Anchor>
      </Text>
    </Box>
  );
}

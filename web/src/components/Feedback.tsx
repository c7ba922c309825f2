import { Alert, Button, Center, Code, List, Loader, Stack, Text, ThemeIcon, Title } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { IconAlertTriangle, IconPlugConnectedX } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { Declined, Problem } from "@/api/client";

/** What went wrong, in the API's own words, with the places and a way to try again. */
export function ProblemAlert({ error, retry }: { error: unknown; retry?: () => void }) {
  if (!error || error instanceof Declined) return null;
  const problem =
    error instanceof Problem ? error : new Problem(0, { title: "Something failed", detail: String(error) });
  const away = problem.status === 0 || problem.status === 503;
  return (
    <Alert
      role="alert"
      color={away ? "yellow" : "red"}
      variant="light"
      title={problem.title}
      icon={away ? <IconPlugConnectedX /> : <IconAlertTriangle />}
    >
      <Stack gap="xs" align="flex-start">
        <Text size="sm" className="breakable">
          {problem.message}
        </Text>
        {problem.faults.length > 0 && (
          <List size="sm">
            {problem.faults.map((f) => (
              <List.Item key={`${f.location} ${f.message}`} className="breakable">
                {f.location && <Code>{f.location}</Code>} {f.message}
              </List.Item>
            ))}
          </List>
        )}
        {retry && (
          <Button size="xs" variant="default" onClick={retry}>
            Try again
          </Button>
        )}
      </Stack>
    </Alert>
  );
}

/** A place where something will be: says what, and how it gets there. */
export function Empty(props: { icon?: ReactNode; title: string; children?: ReactNode }) {
  return (
    <Center py="xl" px="md">
      <Stack align="center" gap="xs" maw={560}>
        {props.icon && (
          <ThemeIcon size={44} radius="xl" variant="light">
            {props.icon}
          </ThemeIcon>
        )}
        <Title order={3} fz="md" ta="center">
          {props.title}
        </Title>
        {props.children && (
          <Text component="div" size="sm" c="dimmed" ta="center" style={{ textWrapStyle: "balance" }}>
            {props.children}
          </Text>
        )}
      </Stack>
    </Center>
  );
}

export function Loading({ label = "Loading" }: { label?: string }) {
  return (
    <Center py="xl" role="status" aria-label={label}>
      <Loader size="sm" />
    </Center>
  );
}

/** Says that something was done. With undo it stays for 10 seconds and can be taken back. */
export function notifyDone(message: string, undo?: () => void | Promise<void>) {
  const id = notifications.show({
    autoClose: undo ? 10_000 : 4_000,
    withBorder: true,
    color: "warder",
    message: undo ? (
      <Stack gap={4} align="flex-start">
        <span>{message}</span>
        <Button
          size="compact-sm"
          variant="light"
          onClick={async () => {
            notifications.hide(id);
            try {
              await undo();
            } catch (e) {
              notifyProblem(e);
            }
          }}
        >
          Undo
        </Button>
      </Stack>
    ) : (
      message
    ),
  });
}

/** Says that something failed, in the API's own words. */
export function notifyProblem(error: unknown) {
  if (error instanceof Declined) return;
  const p = error instanceof Problem ? error : undefined;
  notifications.show({
    color: "red",
    withBorder: true,
    autoClose: 12_000,
    title: p?.title ?? "That did not work",
    message: [
      p?.message ?? String(error),
      ...(p?.faults ?? []).map((f) => `${f.location ?? ""} ${f.message ?? ""}`.trim()),
    ].join(" · "),
  });
}

import { Box, Group, Stack, Text, Title } from "@mantine/core";
import { type ReactNode, useEffect } from "react";
import { Loading, ProblemAlert } from "./Feedback";

/** A page: its title (also the document's), what it is for, and what can be done on it. */
export function Page(props: {
  title: string;
  /** Stands beside the title, such as a button that copies it. */
  beside?: ReactNode;
  about?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}) {
  useEffect(() => {
    document.title = `${props.title} · Warder`;
  }, [props.title]);
  return (
    <Stack gap="lg">
      <Group justify="space-between" align="flex-end" gap="sm">
        <Box flex={1} miw={{ base: "100%", sm: 360 }}>
          <Group gap={6} wrap="nowrap">
            <Title order={1} fz={{ base: 22, sm: 26 }} className="breakable">
              {props.title}
            </Title>
            {props.beside}
          </Group>
          {props.about && (
            <Text component="div" c="dimmed" size="sm" maw={1000}>
              {props.about}
            </Text>
          )}
        </Box>
        {props.actions && (
          <Group gap="xs" className="no-print">
            {props.actions}
          </Group>
        )}
      </Group>
      {props.children}
    </Stack>
  );
}

/** A titled surface on a page. */
export function Panel(props: { title?: ReactNode; aside?: ReactNode; children: ReactNode; pad?: boolean }) {
  return (
    <Box component="section" className="surface" style={{ borderRadius: "var(--mantine-radius-md)" }}>
      {(props.title || props.aside) && (
        <Group justify="space-between" px="md" pt="sm" pb={6} gap="xs">
          <Title order={2} fz="md">
            {props.title}
          </Title>
          {props.aside}
        </Group>
      )}
      <Box
        px={props.pad === false ? 0 : "md"}
        pb={props.pad === false ? 0 : "md"}
        pt={props.title || props.pad === false ? 0 : "md"}
      >
        {props.children}
      </Box>
    </Box>
  );
}

/** A page whose subject is being read, or cannot be. */
export function Pending(props: {
  title: string;
  what: string;
  query: { error: unknown; refetch: () => unknown };
}) {
  return (
    <Page title={props.title}>
      {props.query.error ? (
        <ProblemAlert error={props.query.error} retry={() => void props.query.refetch()} />
      ) : (
        <Loading label={`Loading ${props.what}`} />
      )}
    </Page>
  );
}

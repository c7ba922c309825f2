import { Alert, Button, CopyButton, Group, SimpleGrid, Stack, Text } from "@mantine/core";
import { IconCheck, IconCopy, IconDownload, IconKey } from "@tabler/icons-react";
import { download } from "@/lib/download";

/** The recovery codes, shown once. */
export function RecoveryCodes({ codes, onDone }: { codes: string[]; onDone: () => void }) {
  const text = `Recovery codes for Warder at ${window.location.host}\nEach works once.\n\n${codes.join("\n")}\n`;
  return (
    <Stack gap="md">
      <Alert
        color="yellow"
        variant="light"
        icon={<IconKey />}
        title="Keep these recovery codes: they are shown this once"
      >
        Each lets you in once without the second factor, if the device is lost.
      </Alert>
      <SimpleGrid
        cols={2}
        spacing={{ base: 8, xs: "lg" }}
        verticalSpacing={6}
        maw={400}
        component="ul"
        style={{ listStyle: "none", padding: 0, margin: 0 }}
      >
        {codes.map((c) => (
          <Text
            key={c}
            component="li"
            className="mono"
            fz={{ base: 13, xs: "sm" }}
            style={{ whiteSpace: "nowrap" }}
          >
            {c}
          </Text>
        ))}
      </SimpleGrid>
      <Group gap="xs">
        <CopyButton value={codes.join("\n")}>
          {({ copied, copy }) => (
            <Button
              variant="default"
              size="sm"
              leftSection={copied ? <IconCheck size={15} /> : <IconCopy size={15} />}
              onClick={copy}
            >
              {copied ? "Copied" : "Copy"}
            </Button>
          )}
        </CopyButton>
        <Button
          variant="default"
          size="sm"
          leftSection={<IconDownload size={15} />}
          onClick={() => download("warder-recovery-codes.txt", "text/plain", text)}
        >
          Save as a file
        </Button>
        <Button size="sm" onClick={onDone}>
          I have kept them
        </Button>
      </Group>
    </Stack>
  );
}

import { ActionIcon, Anchor, Group, CopyButton as MantineCopy, Text, Tooltip } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { straight } from "@/lib/words";

/** An address that is no longer than this is never broken. */
const longest = 22;

/** An address or prefix; a single address leads to its page. */
export function AddressLink({ ip, label }: { ip?: string; label?: string }) {
  if (!ip) return <Text size="sm">–</Text>;
  return (
    <Anchor
      component={Link}
      to="/addresses/$ip"
      params={{ ip } as never}
      size="sm"
      className="mono"
      style={(label ?? ip).length <= longest ? { whiteSpace: "nowrap" } : undefined}
    >
      {label ?? ip}
    </Anchor>
  );
}

/** An account; leads to its page. The name is whatever somebody typed: text, always. */
export function AccountLink({ account, realm }: { account?: string; realm?: string }) {
  if (!account) return <Text size="sm">–</Text>;
  return (
    <Anchor
      component={Link}
      to="/accounts/$account"
      params={{ account } as never}
      search={(realm ? { realm } : {}) as never}
      size="sm"
      className="breakable"
    >
      {straight(account)}
      {realm && (
        <Text span size="xs" c="dimmed">
          {" "}
          {straight(realm)}
        </Text>
      )}
    </Anchor>
  );
}

export function Copy({ value, label }: { value: string; label: string }) {
  return (
    <MantineCopy value={value}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? "Copied" : label}>
          <ActionIcon variant="subtle" color="gray" size="sm" onClick={copy} aria-label={label}>
            {copied ? <IconCheck size={14} /> : <IconCopy size={14} />}
          </ActionIcon>
        </Tooltip>
      )}
    </MantineCopy>
  );
}

export function CopyableText({ value, label }: { value: string; label: string }) {
  return (
    <Group gap={4} wrap="nowrap">
      <Text size="sm" className="mono breakable">
        {value}
      </Text>
      <Copy value={value} label={label} />
    </Group>
  );
}

import { ActionIcon, Menu } from "@mantine/core";
import {
  IconActivity,
  IconBan,
  IconDots,
  IconEraser,
  IconLockOpen,
  IconLogout,
  IconNetwork,
  IconShieldCheck,
} from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import type { Block } from "@/lib/blocks";
import { addressOf, hasPage } from "@/lib/ip";
import { useMe } from "@/lib/me";
import { openBlockDialog } from "./BlockDialog";
import { openClearTracking } from "./ClearTracking";
import { openEndSessions } from "./EndSessions";
import { openTrustDialog } from "./TrustDialog";
import { openUnblockDialog } from "./UnblockDialog";

/** What can be done about the address of a row: look, block or unblock, trust,
 * end its sessions, clear its tracking. `block` is the block that stands on it. */
export function RowActions({ ip, block, compact = true }: { ip: string; block?: Block; compact?: boolean }) {
  const { can } = useMe();
  const admin = can("admin");
  const page = hasPage(ip);
  const lifts = block && block.state === "active" && block.source !== "policy";
  return (
    <Menu position="bottom-end" withinPortal width={220}>
      <Menu.Target>
        <ActionIcon
          variant={compact ? "subtle" : "default"}
          size={compact ? "md" : "lg"}
          color="gray"
          aria-label={`Actions for ${ip}`}
        >
          <IconDots size={16} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {compact && page && (
          <Menu.Item
            leftSection={<IconNetwork size={16} />}
            component={Link}
            to="/addresses/$ip"
            params={{ ip: addressOf(ip) } as never}
          >
            Everything about it
          </Menu.Item>
        )}
        <Menu.Item
          leftSection={<IconActivity size={16} />}
          component={Link}
          to="/events"
          search={{ ip } as never}
        >
          Its events
        </Menu.Item>
        {admin && (
          <>
            <Menu.Divider />
            {lifts && (
              <Menu.Item leftSection={<IconLockOpen size={16} />} onClick={() => openUnblockDialog(block)}>
                Unblock…
              </Menu.Item>
            )}
            {!lifts && (
              <Menu.Item
                leftSection={<IconBan size={16} />}
                color="red"
                c="var(--mantine-color-error)"
                onClick={() => openBlockDialog({ ip })}
              >
                Block…
              </Menu.Item>
            )}
            <Menu.Item leftSection={<IconShieldCheck size={16} />} onClick={() => openTrustDialog({ ip })}>
              Trust…
            </Menu.Item>
            <Menu.Item leftSection={<IconLogout size={16} />} onClick={() => openEndSessions({ ip })}>
              End its sessions…
            </Menu.Item>
            {page && (
              <Menu.Item leftSection={<IconEraser size={16} />} onClick={() => openClearTracking({ ip })}>
                Clear its tracking…
              </Menu.Item>
            )}
          </>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}

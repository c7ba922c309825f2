import { Group, Kbd, Stack, Table, Text } from "@mantine/core";
import { modals } from "@mantine/modals";
import { Fragment, useEffect } from "react";

/** Every key that does something, by where it does. */
export const shortcuts: { where: string; keys: { keys: string[][]; does: string }[] }[] = [
  {
    where: "Everywhere",
    keys: [
      { keys: [["/"], ["Ctrl", "K"]], does: "Search an address, an account, an event or a reference" },
      { keys: [["?"]], does: "This list" },
      { keys: [["Esc"]], does: "Close a dialog, or take all filters away" },
    ],
  },
  {
    where: "An open event",
    keys: [
      { keys: [["J"]], does: "The next event of the list" },
      { keys: [["K"]], does: "The event before" },
    ],
  },
  {
    where: "Events over time",
    keys: [
      { keys: [["←"], ["→"]], does: "The day or hour before, or after" },
      { keys: [["Home"], ["End"]], does: "The first, or the last" },
      { keys: [["Enter"]], does: "Its events" },
      { keys: [["Shift", "→"]], does: "Select several; Enter zooms to them" },
    ],
  },
  {
    where: "Blocks to review, in a row",
    keys: [
      { keys: [["R"]], does: "The block is right" },
      { keys: [["U"]], does: "Unblock" },
    ],
  },
];

const id = "shortcuts";

/** Shows every key that does something. */
export function openShortcuts() {
  modals.closeAll();
  modals.open({ modalId: id, title: "Keyboard shortcuts", size: 520, children: <List /> });
}

/** Whether what is typed goes into a field. */
const typing = (e: KeyboardEvent) =>
  e.target instanceof HTMLElement &&
  (e.target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName));

/** Opens the list on "?". */
export function useShortcuts() {
  useEffect(() => {
    const open = (e: KeyboardEvent) => {
      if (e.key !== "?" || e.ctrlKey || e.metaKey || e.altKey || typing(e)) return;
      // What somebody is in the middle of stays open.
      if (document.querySelector("[role=dialog]")) return;
      e.preventDefault();
      openShortcuts();
    };
    document.addEventListener("keydown", open);
    return () => document.removeEventListener("keydown", open);
  }, []);
}

function List() {
  return (
    <Stack gap="md">
      {shortcuts.map((group) => (
        <div key={group.where}>
          <Text size="sm" fw={600} mb={4}>
            {group.where}
          </Text>
          <Table aria-label={group.where} withRowBorders={false} verticalSpacing={4} layout="fixed">
            <Table.Tbody>
              {group.keys.map((s) => (
                <Table.Tr key={s.does}>
                  <Table.Td w={130}>
                    <Group gap={6}>
                      {s.keys.map((combination) => (
                        <Group key={combination.join()} gap={2} wrap="nowrap">
                          {combination.map((key, i) => (
                            <Fragment key={key}>
                              {i > 0 && <span>+</span>}
                              <Kbd size="xs">{key}</Kbd>
                            </Fragment>
                          ))}
                        </Group>
                      ))}
                    </Group>
                  </Table.Td>
                  <Table.Td>
                    <Text size="sm">{s.does}</Text>
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </div>
      ))}
    </Stack>
  );
}

import { ActionIcon, type ActionIconProps, Menu, type MenuProps } from "@mantine/core";
import { type ReactNode, useEffect, useRef, useState } from "react";

/**
 * A small button and its menu, which is made when it is first wanted: a page has
 * dozens of them in its rows and legends, and most are never opened.
 */
export function LazyMenu(props: {
  label: string;
  icon: ReactNode;
  look?: ActionIconProps;
  position?: MenuProps["position"];
  children: ReactNode;
}) {
  const [wanted, setWanted] = useState(false);
  const [opened, setOpened] = useState(false);
  const target = useRef<HTMLButtonElement>(null);
  const button = (
    <ActionIcon
      ref={target}
      variant="subtle"
      color="gray"
      aria-label={props.label}
      {...props.look}
      {...(!wanted && { "aria-haspopup": "menu", "aria-expanded": false, onClick: () => setWanted(true) })}
    >
      {props.icon}
    </ActionIcon>
  );
  useEffect(() => {
    if (!wanted) return;
    // Where the focus returns to when the menu closes.
    target.current?.focus({ preventScroll: true });
    setOpened(true);
  }, [wanted]);
  if (!wanted) return button;
  return (
    <Menu withinPortal position={props.position} opened={opened} onChange={setOpened}>
      <Menu.Target>{button}</Menu.Target>
      <Menu.Dropdown>{props.children}</Menu.Dropdown>
    </Menu>
  );
}

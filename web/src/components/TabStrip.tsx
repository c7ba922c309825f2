import { type MantineSpacing, Tabs } from "@mantine/core";
import { type ReactNode, useCallback } from "react";
import classes from "./TabStrip.module.css";

/** The tabs of a page, each with its value as data-tab. Where the strip is
 * wider than the screen it scrolls, with the chosen tab in view. */
export function TabStrip(props: { chosen: string; label: string; mb?: MantineSpacing; children: ReactNode }) {
  const { chosen } = props;
  const strip = useCallback(
    (box: HTMLDivElement | null) => {
      const tab = box?.querySelector<HTMLElement>(`[data-tab="${chosen}"]`);
      if (box && tab) box.scrollLeft = tab.offsetLeft - (box.clientWidth - tab.offsetWidth) / 2;
    },
    [chosen],
  );
  return (
    <div className={classes.strip} ref={strip}>
      <Tabs.List mb={props.mb} className={classes.list} aria-label={props.label}>
        {props.children}
      </Tabs.List>
    </div>
  );
}

import { type MantineSpacing, Tabs } from "@mantine/core";
import { type ReactNode, useEffect, useRef } from "react";
import classes from "./TabStrip.module.css";

/** The tabs of a page, each with its value as data-tab. Where the strip is
 * wider than the screen it scrolls, with the chosen tab in view. */
export function TabStrip(props: { chosen: string; label: string; mb?: MantineSpacing; children: ReactNode }) {
  const { chosen } = props;
  const strip = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const show = () => {
      const box = strip.current;
      const tab = list.current?.querySelector<HTMLElement>(`[data-tab="${chosen}"]`);
      if (!box || !tab) return;
      const left = tab.offsetLeft;
      const shown = left >= box.scrollLeft && left + tab.offsetWidth <= box.scrollLeft + box.clientWidth;
      if (!shown) box.scrollLeft = left - (box.clientWidth - tab.offsetWidth) / 2;
    };
    // At once, and when a number beside a tab has made the list longer.
    const watch = new ResizeObserver(show);
    if (list.current) watch.observe(list.current);
    return () => watch.disconnect();
  }, [chosen]);
  return (
    <div className={classes.strip} ref={strip}>
      <Tabs.List mb={props.mb} className={classes.list} aria-label={props.label} ref={list}>
        {props.children}
      </Tabs.List>
    </div>
  );
}

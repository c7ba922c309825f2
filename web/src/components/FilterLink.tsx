import { Anchor, type AnchorProps } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Search } from "@/lib/search";

/** A figure, or a word, that leads to the list behind it. */
export function FilterLink({
  to,
  search,
  children,
  ...rest
}: { to: string; search?: Search; children: ReactNode; label?: string } & Omit<AnchorProps, "component">) {
  const { label, ...look } = rest;
  return (
    <Anchor component={Link} to={to} search={(search ?? {}) as never} aria-label={label} {...look}>
      {children}
    </Anchor>
  );
}

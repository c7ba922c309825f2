import { Menu, Text, UnstyledButton } from "@mantine/core";
import { IconDots, IconEye, IconEyeOff, IconFocus2 } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { LazyMenu } from "@/components/LazyMenu";
import type { Filters } from "@/lib/filters";
import "./charts.css";
import { all, only, shown, toggled, without } from "./legend";

/** One entry of a legend: a button that hides and shows its value everywhere on
 * the page, and a menu beside it to see only this or leave it out. */
export function LegendEntry(props: {
  field: string;
  value: string;
  name: ReactNode;
  mark: ReactNode;
  count: string;
  share?: string;
  filters: Filters;
  onChange: (filters: Filters) => void;
  onPoint?: (value: string | undefined) => void;
}) {
  const { field, value, filters, onChange } = props;
  const visible = shown(filters, field, value);
  const alone = filters[field]?.length === 1 && visible;
  return (
    <div
      className="legend-entry"
      onPointerEnter={() => props.onPoint?.(value)}
      onPointerLeave={() => props.onPoint?.(undefined)}
    >
      <UnstyledButton
        className="legend-toggle"
        aria-pressed={visible}
        title={visible ? `Hide ${value}` : `Show ${value}`}
        data-legend={value}
        onClick={() => onChange(toggled(filters, field, value))}
        onFocus={() => props.onPoint?.(value)}
        onBlur={() => props.onPoint?.(undefined)}
      >
        {props.mark}
        <Text span size="xs" truncate flex={1} className="legend-name" ta="left">
          {props.name}
        </Text>
        <Text span size="xs" className="numeric" fw={600}>
          {props.count}
        </Text>
        {props.share && (
          <Text span size="xs" c="dimmed" className="numeric" w={48}>
            {props.share}
          </Text>
        )}
      </UnstyledButton>
      <LazyMenu
        label={`More on ${value}`}
        icon={<IconDots size={14} />}
        look={{ className: "legend-more", size: "sm" }}
        position="bottom-end"
      >
        {alone ? (
          <Menu.Item leftSection={<IconEye size={14} />} onClick={() => onChange(all(filters, field))}>
            Show all
          </Menu.Item>
        ) : (
          <Menu.Item
            leftSection={<IconFocus2 size={14} />}
            onClick={() => onChange(only(filters, field, value))}
          >
            Only this
          </Menu.Item>
        )}
        <Menu.Item
          leftSection={<IconEyeOff size={14} />}
          disabled={!visible}
          onClick={() => onChange(without(filters, field, value))}
        >
          Leave out
        </Menu.Item>
      </LazyMenu>
    </div>
  );
}

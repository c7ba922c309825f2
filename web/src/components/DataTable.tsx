import { Box, Button, Checkbox, Group, ScrollArea, Table, Text } from "@mantine/core";
import type { ReactNode } from "react";
import { Empty, Loading, ProblemAlert } from "./Feedback";

export type Column<T> = {
  key: string;
  title: ReactNode;
  cell: (row: T) => ReactNode;
  numeric?: boolean;
  width?: number | string;
  /** Not shown on narrow screens (below 768 px). */
  wide?: boolean;
};

/** Where a column stands in the card that a row is on narrow screens. */
function part<T>(c: Column<T>, i: number): string | undefined {
  if (i === 0) return "lead";
  if (typeof c.title === "string") return undefined;
  return typeof c.width === "number" && c.width >= 200 ? "foot" : "actions";
}

/**
 * A table of rows with named columns. It scrolls sideways inside itself, never
 * the page; rows can be selected and opened with mouse or keyboard. On narrow
 * screens each row is a card: the first column leads, the others follow with
 * their names (global.css, .stacks); not where the columns are fixed, since
 * such a table brings a form of its own for narrow screens.
 */
export function DataTable<T>(props: {
  label: string;
  columns: Column<T>[];
  rows: T[] | undefined;
  id: (row: T) => string;
  loading?: boolean;
  error?: unknown;
  retry?: () => void;
  empty?: ReactNode;
  onOpen?: (row: T) => void;
  selected?: Set<string>;
  onSelect?: (ids: Set<string>) => void;
  more?: () => void;
  loadingMore?: boolean;
  minWidth?: number;
  /** The widths of the columns hold; what does not fit is cut or wraps. */
  fixed?: boolean;
  /** The titles of the columns are for screen readers only. */
  bare?: boolean;
}) {
  const { rows, columns, selected, onSelect } = props;
  if (props.error && !rows) {
    return (
      <Box p="md">
        <ProblemAlert error={props.error} retry={props.retry} />
      </Box>
    );
  }
  if (!rows) return <Loading label={`Loading ${props.label}`} />;
  if (rows.length === 0) return <>{props.empty ?? <Empty title="Nothing here" />}</>;
  const all = selected !== undefined && rows.every((r) => selected.has(props.id(r)));
  const toggle = (id: string) => {
    const next = new Set(selected);
    if (!next.delete(id)) next.add(id);
    onSelect?.(next);
  };
  return (
    <>
      <ScrollArea type="auto" scrollbarSize={8}>
        <Table
          aria-label={props.label}
          role="table"
          miw={props.minWidth ?? 640}
          layout={props.fixed ? "fixed" : undefined}
          className={props.fixed ? undefined : "stacks"}
        >
          {props.bare && (
            <colgroup>
              {columns.map((c) => (
                <col key={c.key} style={{ width: c.width }} />
              ))}
            </colgroup>
          )}
          <Table.Thead role="rowgroup" className={props.bare ? "visually-hidden" : undefined}>
            <Table.Tr role="row">
              {selected && (
                <Table.Th role="columnheader" w={40} data-part="select">
                  <Checkbox
                    size="xs"
                    aria-label="Select all rows shown"
                    checked={all}
                    indeterminate={!all && selected.size > 0}
                    onChange={() => onSelect?.(all ? new Set() : new Set(rows.map(props.id)))}
                  />
                </Table.Th>
              )}
              {columns.map((c) => (
                <Table.Th
                  role="columnheader"
                  key={c.key}
                  w={c.width}
                  className={c.numeric ? "numeric" : undefined}
                  visibleFrom={c.wide ? "sm" : undefined}
                >
                  <Text component="span" size="xs" c="dimmed" fw={600}>
                    {c.title}
                  </Text>
                </Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody role="rowgroup">
            {rows.map((row) => {
              const id = props.id(row);
              return (
                <Table.Tr
                  role="row"
                  key={id}
                  data-row={id}
                  bg={selected?.has(id) ? "var(--mantine-primary-color-light)" : undefined}
                  style={props.onOpen ? { cursor: "pointer" } : undefined}
                  onClick={(e) => {
                    if ((e.target as Element).closest("a,button,input,label,[role=menuitem]")) return;
                    if (window.getSelection()?.toString()) return;
                    props.onOpen?.(row);
                  }}
                >
                  {selected && (
                    <Table.Td role="cell" data-part="select">
                      <Checkbox
                        size="xs"
                        aria-label={`Select ${id}`}
                        checked={selected.has(id)}
                        onChange={() => toggle(id)}
                      />
                    </Table.Td>
                  )}
                  {columns.map((c, i) => (
                    <Table.Td
                      role="cell"
                      key={c.key}
                      data-part={part(c, i)}
                      data-label={typeof c.title === "string" ? c.title : undefined}
                      className={c.numeric ? "numeric" : "breakable"}
                      visibleFrom={c.wide ? "sm" : undefined}
                    >
                      {c.cell(row)}
                    </Table.Td>
                  ))}
                </Table.Tr>
              );
            })}
          </Table.Tbody>
        </Table>
      </ScrollArea>
      {props.more && (
        <Group justify="center" p="sm" className="no-print">
          <Button variant="default" size="xs" loading={props.loadingMore} onClick={props.more}>
            Show more
          </Button>
        </Group>
      )}
    </>
  );
}

import { Box, Group, ScrollArea, SegmentedControl, Table, Text } from "@mantine/core";
import { type ReactNode, useId, useState } from "react";
import { Copy } from "@/components/Links";
import "./charts.css";

export type ChartTable = { head: string[]; rows: (string | number)[][]; csv: string };

/** The frame of every chart: a sentence that says what it shows, and the same
 * figures as a table for whoever cannot or will not read the picture. */
export function ChartFrame(props: {
  summary: string;
  table: ChartTable;
  controls?: ReactNode;
  legend?: ReactNode;
  children: ReactNode;
  height?: number;
}) {
  const [view, setView] = useState("chart");
  const caption = useId();
  return (
    <Box component="figure" m={0} aria-labelledby={caption}>
      <Group justify="space-between" gap="xs" mb="sm" align="center">
        <Text component="figcaption" id={caption} size="sm" c="dimmed">
          {props.summary}
        </Text>
        <Group gap="xs" className="no-print">
          {view === "chart" ? (
            props.controls
          ) : (
            <Copy value={props.table.csv} label="Copy the figures (CSV)" />
          )}
          <SegmentedControl
            size="xs"
            aria-label="View as"
            value={view}
            onChange={setView}
            data={[
              { value: "chart", label: "Chart" },
              { value: "table", label: "Table" },
            ]}
          />
        </Group>
      </Group>
      {view === "chart" ? (
        props.children
      ) : (
        <ScrollArea
          h={props.height ?? 260}
          type="auto"
          viewportProps={{ tabIndex: 0, role: "region", "aria-labelledby": caption }}
        >
          <Table stickyHeader aria-labelledby={caption} verticalSpacing={4}>
            <Table.Thead bg="var(--surface)">
              <Table.Tr>
                {props.table.head.map((h, i) => (
                  <Table.Th key={h} className={i > 0 ? "numeric" : undefined}>
                    <Text span size="xs" c="dimmed" fw={600}>
                      {h}
                    </Text>
                  </Table.Th>
                ))}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {props.table.rows.map((row) => (
                <Table.Tr key={String(row[0])}>
                  {row.map((cell, i) => (
                    <Table.Td key={props.table.head[i]} className={i > 0 ? "numeric" : undefined}>
                      {typeof cell === "number" ? cell.toLocaleString("en") : cell}
                    </Table.Td>
                  ))}
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </ScrollArea>
      )}
      {props.legend}
    </Box>
  );
}

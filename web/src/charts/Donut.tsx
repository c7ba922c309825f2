import { Box, Button, Stack } from "@mantine/core";
import { arc } from "d3-shape";
import { useState } from "react";
import type { Filters } from "@/lib/filters";
import "./charts.css";
import { LegendEntry } from "./Legend";
import { shown } from "./legend";
import { angles, percent } from "./scale";

export type Slice = { name: string; count: number };

const most = 8; // colours that can be told apart
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** The colour of the i-th type; what comes after the eighth shares the last. */
export const seriesColor = (i: number) => `var(--series-${Math.min(i, most) + 1})`;

/**
 * Shares of a whole. Its legend is a list of buttons that change the filters of
 * the page: what is hidden stays in the legend with its count, out of the ring.
 */
export function Donut(props: {
  slices: Slice[];
  field: string;
  filters: Filters;
  onChange: (filters: Filters) => void;
  unit?: string;
}) {
  const { slices, field, filters } = props;
  const [pointed, setPointed] = useState<string>();
  const [long, setLong] = useState(false);
  const visible = slices.filter((s) => shown(filters, field, s.name));
  const total = visible.reduce((n, s) => n + s.count, 0);
  const ring = angles(visible.map((s) => s.count));
  const color = (name: string) => seriesColor(slices.findIndex((s) => s.name === name));
  const draw = arc<[number, number]>()
    .startAngle((d) => d[0])
    .endAngle((d) => d[1])
    .cornerRadius(2);
  const focus = visible.find((s) => s.name === pointed);
  const listed = long ? slices : slices.slice(0, most);
  return (
    <Stack gap="sm">
      <Box ta="center">
        <svg
          width={176}
          height={176}
          viewBox="-88 -88 176 176"
          aria-hidden="true"
          focusable="false"
          data-chart="donut"
        >
          {total === 0 && <circle r={68} fill="none" stroke="var(--surface-border)" strokeWidth={22} />}
          {visible.map((s, i) => (
            <path
              key={s.name}
              data-slice={s.name}
              d={
                draw.innerRadius(pointed === s.name ? 56 : 58).outerRadius(pointed === s.name ? 83 : 80)(
                  ring[i] as [number, number],
                ) ?? ""
              }
              fill={color(s.name)}
              stroke="var(--surface)"
              strokeWidth={visible.length > 1 ? 1.5 : 0}
              opacity={pointed && pointed !== s.name ? 0.35 : 1}
              onPointerEnter={() => setPointed(s.name)}
              onPointerLeave={() => setPointed(undefined)}
            />
          ))}
          <text textAnchor="middle" y={2} fontSize={24} fontWeight={650} fill="currentColor">
            {(focus?.count ?? total) > 99_999
              ? compact.format(focus?.count ?? total)
              : (focus?.count ?? total).toLocaleString("en")}
          </text>
          <text textAnchor="middle" y={22} className="chart-axis">
            {focus ? percent(focus.count, total) : (props.unit ?? "events")}
          </text>
        </svg>
      </Box>
      <Stack gap={0} role="group" aria-label="Event types: press to hide or show">
        {listed.map((s) => (
          <LegendEntry
            key={s.name}
            field={field}
            value={s.name}
            name={s.name}
            mark={<span className="legend-swatch" style={{ background: color(s.name) }} />}
            count={s.count.toLocaleString("en")}
            share={shown(filters, field, s.name) ? percent(s.count, total) : "hidden"}
            filters={filters}
            onChange={props.onChange}
            onPoint={setPointed}
          />
        ))}
        {slices.length > most && (
          <Button variant="subtle" size="compact-xs" mt={4} onClick={() => setLong(!long)}>
            {long ? "Show fewer" : `${slices.length - most} more types`}
          </Button>
        )}
      </Stack>
    </Stack>
  );
}

import { Group, Text } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { curveMonotoneX, line } from "d3-shape";
import { type KeyboardEvent, type PointerEvent, useMemo, useReducer, useRef, useState } from "react";
import { SeverityMark } from "@/components/Severity";
import { type Severity, severities, severityColor, severityLook } from "@/lib/severity";
import "./charts.css";
import { cursor, selection } from "./cursor";
import { markPath } from "./marks";
import { countTicks, logTicks, nearest, place, share } from "./scale";
import {
  type Bucket,
  type BucketSize,
  bucketEnd,
  bucketName,
  partial,
  tickName,
  ticksOf,
  total,
} from "./trend";

const margin = { top: 14, right: 16, bottom: 26, left: 46 };

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/**
 * Events over time, one line for each severity, told apart by colour, dash and
 * mark. The pointer or the arrow keys move a cursor that tells the exact counts
 * of one bucket; a click or Enter opens it, dragging or Shift with the arrows
 * and Enter zooms to several.
 */
export function TrendChart(props: {
  buckets: Bucket[];
  size: BucketSize;
  series?: readonly Severity[];
  log?: boolean;
  height?: number;
  onOpen: (from: string, to: string) => void;
  onZoom: (from: string, to: string) => void;
}) {
  const { buckets, size, series = severities, log = false, height = 260 } = props;
  const { ref, width } = useElementSize();
  const [state, act] = useReducer(cursor, {});
  const [touching, setTouching] = useState(false);
  const shownBefore = useRef<number>(undefined); // at the beginning of a touch
  const count = buckets.length;
  const inner = {
    width: Math.max(0, width - margin.left - margin.right),
    height: height - margin.top - margin.bottom,
  };
  const max = useMemo(
    () => Math.max(0, ...buckets.flatMap((b) => series.map((s) => b[s]))),
    [buckets, series],
  );
  const ticks = log ? logTicks(max) : countTicks(max);
  const x = (i: number) => margin.left + place(i, inner.width, count);
  const y = (n: number) => margin.top + inner.height * (1 - share(n, ticks, log));
  const step = count > 1 ? inner.width / (count - 1) : inner.width;
  const open = count > 0 && partial(buckets, count - 1, size) ? count - 1 : -1;
  const span =
    count > 0 ? Date.parse(bucketEnd(buckets, count - 1, size)) - Date.parse(buckets[0]?.time ?? "") : 0;
  const at = state.at !== undefined && state.at < count ? state.at : undefined;
  const chosen = selection(state);
  const selecting = state.moved && chosen && chosen[1] < count;

  const under = (e: PointerEvent) => {
    const box = e.currentTarget.getBoundingClientRect();
    return nearest(e.clientX - box.left - margin.left, inner.width, count);
  };
  const finish = (zoom: boolean) => {
    if (!chosen || chosen[1] >= count) return;
    const from = buckets[chosen[0]]?.time as string;
    const to = bucketEnd(buckets, chosen[1], size);
    if (zoom && chosen[0] < chosen[1]) props.onZoom(from, to);
    else if (!zoom) props.onOpen(from, to);
  };
  const keys = (e: KeyboardEvent) => {
    const steps: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      PageUp: -7,
      PageDown: 7,
      Home: -count,
      End: count,
    };
    const by = steps[e.key];
    if (by !== undefined) {
      act({ type: "step", by, count, select: e.shiftKey });
    } else if (e.key === "Enter" && at !== undefined) {
      finish(state.moved === true);
      act({ type: "clear" });
    } else if (e.key === "Escape" && at !== undefined) {
      act({ type: "clear" });
    } else return;
    e.preventDefault();
    e.stopPropagation();
  };
  const spoken = (b: Bucket, i: number) =>
    `${bucketName(buckets, i, size)}${i === open ? ", so far" : ""}: ${series.map((s) => `${b[s]} ${s}`).join(", ")}`;
  const current = at === undefined ? undefined : buckets[at];

  return (
    <div
      ref={ref}
      className="chart"
      data-chart="trend"
      role="slider"
      tabIndex={0}
      aria-label="Events over time by severity. Arrow keys move from one point in time to the next, Enter opens its events, Shift with the arrow keys and Enter zooms."
      aria-orientation="horizontal"
      aria-valuemin={0}
      aria-valuemax={Math.max(0, count - 1)}
      aria-valuenow={at ?? Math.max(0, count - 1)}
      aria-valuetext={
        current && at !== undefined
          ? spoken(current, at)
          : count > 0
            ? spoken(buckets[count - 1] as Bucket, count - 1)
            : "no events"
      }
      onKeyDown={keys}
      onBlur={() => act({ type: "clear" })}
      onPointerMove={(e) => act({ type: "move", to: under(e) })}
      onPointerLeave={(e) => {
        // A finger leaves by being lifted: what it showed stays.
        if (e.pointerType !== "touch") act({ type: "leave" });
      }}
      onPointerDown={(e) => {
        setTouching(e.pointerType === "touch");
        shownBefore.current = at;
        if (e.pointerType === "touch" || e.button !== 0) return;
        e.currentTarget.setPointerCapture(e.pointerId);
        act({ type: "press", at: under(e) });
      }}
      onPointerUp={(e) => {
        if (e.pointerType === "touch") {
          const to = under(e);
          const again = shownBefore.current === to && buckets[to];
          act(again ? { type: "clear" } : { type: "move", to });
          if (again) props.onOpen(again.time, bucketEnd(buckets, to, size));
          return;
        }
        if (state.anchor === undefined) return;
        finish(state.moved === true);
        act({ type: "release" });
      }}
    >
      <svg
        width={width || "100%"}
        height={height}
        overflow="visible"
        aria-hidden="true"
        focusable="false"
        cursor="crosshair"
      >
        {width > 0 && count > 0 && (
          <>
            {ticks.map((t) => (
              <g key={t}>
                <line className="chart-grid" x1={margin.left} x2={width - margin.right} y1={y(t)} y2={y(t)} />
                <text className="chart-axis" x={margin.left - 8} y={y(t) + 4} textAnchor="end">
                  {compact.format(t)}
                </text>
              </g>
            ))}
            {ticksOf(buckets, size, span, inner.width).map((i) => (
              <text key={buckets[i]?.time} className="chart-axis" x={x(i)} y={height - 8} textAnchor="middle">
                {i === open && size === "day" ? "Today" : tickName(buckets, i, size)}
              </text>
            ))}
            {open > 0 && (
              <rect
                x={x(open - 1)}
                y={margin.top}
                width={step}
                height={inner.height}
                fill="var(--mantine-color-dimmed)"
                opacity={0.07}
                data-partial
              />
            )}
            {selecting && (
              <rect
                x={x(chosen[0])}
                y={margin.top}
                width={Math.max(1, x(chosen[1]) - x(chosen[0]))}
                height={inner.height}
                fill="var(--mantine-primary-color-filled)"
                opacity={0.16}
              />
            )}
            {at !== undefined && (
              <line
                x1={x(at)}
                x2={x(at)}
                y1={margin.top}
                y2={height - margin.bottom}
                stroke="var(--mantine-color-dimmed)"
              />
            )}
            {series.map((s) => (
              <Line key={s} severity={s} buckets={buckets} x={x} y={y} open={open} step={step} at={at} />
            ))}
          </>
        )}
      </svg>
      {current && at !== undefined && (
        <div
          className="chart-tip"
          data-tip
          style={x(at) < width / 2 ? { left: x(at) + 14 } : { right: width - x(at) + 14 }}
        >
          <Text size="xs" fw={600}>
            {selecting && chosen[0] < chosen[1]
              ? `${bucketName(buckets, chosen[0], size)} – ${bucketName(buckets, chosen[1], size)}`
              : bucketName(buckets, at, size)}
          </Text>
          {at === open && (
            <Text size="xs" c="dimmed">
              so far, not over yet
            </Text>
          )}
          {[...series].reverse().map((s) => (
            <Group key={s} justify="space-between" gap="xs" mt={3}>
              <Group gap={6}>
                <SeverityMark severity={s} size={9} />
                <Text size="xs">{severityLook[s].label}</Text>
              </Group>
              <Text size="xs" className="numeric" fw={600} data-value={s}>
                {sum(buckets, selecting ? chosen : [at, at], [s]).toLocaleString("en")}
              </Text>
            </Group>
          ))}
          <Group justify="space-between" gap="xs" mt={3}>
            <Text size="xs" c="dimmed">
              Total
            </Text>
            <Text size="xs" className="numeric" c="dimmed">
              {sum(buckets, selecting ? chosen : [at, at], series).toLocaleString("en")}
            </Text>
          </Group>
          <Text size="xs" c="dimmed" mt={4}>
            {selecting ? "Release to zoom" : touching ? "Tap again to open" : "Click to open, drag to zoom"}
          </Text>
        </div>
      )}
    </div>
  );
}

const sum = (buckets: Bucket[], [from, to]: [number, number], of: readonly Severity[]) =>
  buckets.slice(from, to + 1).reduce((n, b) => n + total(b, of), 0);

function Line(props: {
  severity: Severity;
  buckets: Bucket[];
  x: (i: number) => number;
  y: (n: number) => number;
  open: number;
  step: number;
  at?: number;
}) {
  const { severity: s, buckets, x, y, open, step, at } = props;
  const look = severityLook[s];
  const color = severityColor(s);
  const path = line<number>(
    (i) => x(i),
    (i) => y(buckets[i]?.[s] ?? 0),
  ).curve(curveMonotoneX);
  const whole = buckets.map((_, i) => i).filter((i) => i !== open);
  // Marks where there is room for them, else only some: they name the line.
  const every = Math.max(1, Math.ceil(15 / Math.max(step, 0.1)));
  const marked = buckets
    .map((b, i) => [i, b[s]] as const)
    .filter(([i, n]) => n > 0 && (i % every === 0 || i === open));
  return (
    <g data-series={s}>
      <path
        d={path(whole) ?? ""}
        fill="none"
        stroke={color}
        strokeWidth={look.width}
        strokeDasharray={look.dash}
        strokeLinejoin="round"
      />
      {open > 0 && (
        <line
          x1={x(open - 1)}
          y1={y(buckets[open - 1]?.[s] ?? 0)}
          x2={x(open)}
          y2={y(buckets[open]?.[s] ?? 0)}
          stroke={color}
          strokeWidth={look.width * 0.75}
          strokeDasharray="1 4"
          strokeLinecap="round"
        />
      )}
      {marked.map(([i, n]) => (
        <path
          key={i}
          d={markPath(s, at === i ? 4.5 : 3)}
          transform={`translate(${x(i)} ${y(n)})`}
          fill={i === open ? "var(--surface)" : color}
          stroke={i === open ? color : "var(--surface)"}
          strokeWidth={i === open ? 1.5 : 1}
        />
      ))}
    </g>
  );
}

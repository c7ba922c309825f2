import { Box, Group, Skeleton, Switch } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { ChartFrame } from "@/charts/ChartFrame";
import { LegendEntry } from "@/charts/Legend";
import { shown } from "@/charts/legend";
import { TrendChart } from "@/charts/TrendChart";
import { type Bucket, type BucketSize, summary, trendTable } from "@/charts/trend";
import { Panel } from "@/components/Page";
import { SeverityMark } from "@/components/Severity";
import type { Filters } from "@/lib/filters";
import { useSearchState } from "@/lib/search";
import { severities, severityLook } from "@/lib/severity";
import { timeZone } from "@/lib/time";

/** Events over time, one line for each severity. */
export function Trend(props: {
  buckets?: Bucket[];
  size: BucketSize;
  note?: string;
  filters: Filters;
  setFilters: (filters: Filters) => void;
  setRange: (range: string) => void;
}) {
  const { buckets, size, filters } = props;
  const [search, change] = useSearchState();
  const navigate = useNavigate();
  const log = search.scale === "log";
  const series = severities.filter((s) => shown(filters, "severity", s));
  return (
    <Panel
      title="Events over time"
      aside={
        <Switch
          size="xs"
          label="Logarithmic"
          labelPosition="left"
          checked={log}
          onChange={(e) => change({ scale: e.currentTarget.checked ? "log" : undefined }, true)}
          className="no-print"
        />
      }
    >
      {!buckets ? (
        <Skeleton h={440} />
      ) : (
        <ChartFrame
          height={350}
          summary={[summary(buckets, size, series), props.note].filter(Boolean).join(" ")}
          table={trendTable(buckets, size, timeZone())}
          legend={
            <Group gap="xs" mt="xs" role="group" aria-label="Severities: press to hide or show">
              {[...severities].reverse().map((s) => (
                <Box key={s}>
                  <LegendEntry
                    field="severity"
                    value={s}
                    name={severityLook[s].label}
                    mark={<SeverityMark severity={s} size={10} />}
                    count={buckets.reduce((n, b) => n + b[s], 0).toLocaleString("en")}
                    filters={filters}
                    onChange={props.setFilters}
                  />
                </Box>
              ))}
            </Group>
          }
        >
          <TrendChart
            buckets={buckets}
            size={size}
            series={series}
            log={log}
            height={336}
            onZoom={(from, to) => props.setRange(`${from}..${to}`)}
            onOpen={(from, to) =>
              void navigate({ to: "/events", search: { ...filters, range: `${from}..${to}` } as never })
            }
          />
        </ChartFrame>
      )}
    </Panel>
  );
}

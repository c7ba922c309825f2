import { Button, Skeleton } from "@mantine/core";
import { Donut, type Slice } from "@/charts/Donut";
import { all } from "@/charts/legend";
import { Empty } from "@/components/Feedback";
import { Panel } from "@/components/Page";
import type { Filters } from "@/lib/filters";

/** The types of events. The legend filters the whole page. */
export function Types(props: { slices?: Slice[]; filters: Filters; setFilters: (filters: Filters) => void }) {
  const { filters } = props;
  const filtered = filters.name || filters.not_name;
  return (
    <Panel
      title="Event types"
      aside={
        filtered && (
          <Button size="compact-xs" variant="subtle" onClick={() => props.setFilters(all(filters, "name"))}>
            Show all
          </Button>
        )
      }
    >
      {!props.slices ? (
        <Skeleton h={360} />
      ) : props.slices.length === 0 ? (
        <Empty title="No events in this time" />
      ) : (
        <Donut slices={props.slices} field="name" filters={filters} onChange={props.setFilters} />
      )}
    </Panel>
  );
}

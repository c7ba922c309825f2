import { ActionIcon, Button, Group, Stack, Tooltip, useMatches } from "@mantine/core";
import { IconActivity, IconArrowUp, IconEye } from "@tabler/icons-react";
import { BlockButton } from "@/components/BlockDialog";
import { type Column, DataTable } from "@/components/DataTable";
import { type Event, EventDetails, EventName } from "@/components/EventParts";
import { Empty } from "@/components/Feedback";
import { FilterMenu } from "@/components/FilterChips";
import { FilterLink } from "@/components/FilterLink";
import { AddressLink } from "@/components/Links";
import { Panel } from "@/components/Page";
import { SeverityBadge } from "@/components/Severity";
import { When } from "@/components/When";

/** The columns of a list of events, for the overview and for the page of events. */
export function eventColumns(props: {
  onView: (event: Event) => void;
  include: (field: string, value: string) => void;
  exclude: (field: string, value: string) => void;
  narrow?: boolean;
}): Column<Event>[] {
  const menu = (field: string, value: string | undefined) =>
    value ? (
      <FilterMenu
        value={value}
        include={() => props.include(field, value)}
        exclude={() => props.exclude(field, value)}
      />
    ) : null;
  const actions: Column<Event> = {
    key: "actions",
    title: <span className="visually-hidden">Actions</span>,
    width: 76,
    cell: (e) => (
      <Group gap={2} wrap="nowrap" justify="flex-end">
        <Tooltip label="View">
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label={`View ${e.name} of ${e.time}`}
            onClick={() => props.onView(e)}
          >
            <IconEye size={16} />
          </ActionIcon>
        </Tooltip>
        {e.ip && (
          <BlockButton
            ip={e.ip}
            compact
            reason={`${e.name} at ${e.time.slice(0, 19).replace("T", " ")} UTC`}
          />
        )}
      </Group>
    ),
  };
  if (props.narrow) {
    // On a phone an event is one cell: nothing is off the screen.
    const whole = (e: Event) => (
      <Stack gap={2}>
        <Group justify="space-between" gap="xs" wrap="nowrap">
          <SeverityBadge severity={e.severity} />
          <When at={e.time} dim />
        </Group>
        <EventName name={e.name} />
        {e.ip && <AddressLink ip={e.ip} />}
        <EventDetails event={e} />
      </Stack>
    );
    return [{ key: "event", title: "Event", cell: whole }, actions];
  }
  return [
    { key: "time", title: "Time", width: 112, cell: (e) => <When at={e.time} /> },
    { key: "severity", title: "Severity", width: 112, cell: (e) => <SeverityBadge severity={e.severity} /> },
    {
      key: "name",
      title: "Type",
      width: 246,
      cell: (e) => (
        <Group gap={2} wrap="nowrap">
          <EventName name={e.name} />
          {menu("name", e.name)}
        </Group>
      ),
    },
    {
      key: "ip",
      title: "Address",
      width: 178,
      cell: (e) => (
        <Group gap={2} wrap="nowrap">
          <AddressLink ip={e.ip} />
          {menu("ip", e.ip)}
        </Group>
      ),
    },
    {
      key: "details",
      title: "Details",
      width: "100%",
      cell: (e) => <EventDetails event={e} />,
    },
    actions,
  ];
}

/** What arrived and is not shown; a press shows it. */
export function NewEvents({ text, onTake }: { text: string; onTake: () => void }) {
  return (
    <>
      <span className="visually-hidden" role="status" aria-live="polite">
        {text}
      </span>
      {text && (
        <Button size="compact-sm" variant="light" leftSection={<IconArrowUp size={14} />} onClick={onTake}>
          {text}
        </Button>
      )}
    </>
  );
}

/** What to do where no event is: about the filters, or the first ever. */
export function NoEvents({ filtered }: { filtered: boolean }) {
  return (
    <Empty icon={<IconActivity size={20} />} title={filtered ? "No events match" : "No events"}>
      {filtered ? (
        "No event of this time passes the filters. Take one away, or choose a longer time."
      ) : (
        <>
          Nothing was reported in this time.{" "}
          <FilterLink to="/start" size="sm">
            How to send events
          </FilterLink>
        </>
      )}
    </Empty>
  );
}

/** The latest events that the filters of the page let through. */
export function Recent(props: {
  events?: Event[];
  error: unknown;
  retry: () => void;
  arrived: { text: string; take: () => void };
  columns: Column<Event>[];
  onView: (event: Event) => void;
  search: Record<string, string | string[] | undefined>;
  filtered: boolean;
}) {
  const narrow = useMatches({ base: true, sm: false });
  return (
    <Panel
      title="Recent events"
      pad={false}
      aside={
        <Group gap="sm">
          <NewEvents text={props.arrived.text} onTake={props.arrived.take} />
          <FilterLink to="/events" search={props.search} size="sm">
            All events
          </FilterLink>
        </Group>
      }
    >
      <DataTable
        label="Recent events"
        columns={props.columns}
        rows={props.events}
        id={(e) => e.id}
        error={props.error}
        retry={props.retry}
        onOpen={props.onView}
        minWidth={narrow ? 300 : 940}
        fixed
        bare={narrow}
        empty={<NoEvents filtered={props.filtered} />}
      />
    </Panel>
  );
}

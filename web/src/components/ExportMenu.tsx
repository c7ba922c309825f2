import { Button, Menu } from "@mantine/core";
import { IconDownload } from "@tabler/icons-react";
import { stringifySearch } from "@/lib/filters";

/** Downloads what a list shows, with the same filter; streamed by the server, never cut. */
export function ExportMenu(props: {
  what: "events" | "blocks" | "audit";
  query: Record<string, unknown>;
  size?: string;
}) {
  const href = (format: string) => `/v1/export/${props.what}${stringifySearch({ ...props.query, format })}`;
  return (
    <Menu withinPortal position="bottom-end">
      <Menu.Target>
        <Button size={props.size ?? "xs"} variant="default" leftSection={<IconDownload size={14} />}>
          Export
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>All that the filter selects</Menu.Label>
        {[
          ["csv", "CSV, for a spreadsheet"],
          ["ndjson", "NDJSON, one entry in each line"],
          ["json", "JSON"],
        ].map(([format, label]) => (
          <Menu.Item key={format} component="a" href={href(format as string)} download>
            {label}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

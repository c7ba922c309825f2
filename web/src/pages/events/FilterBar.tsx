import { ActionIcon, Box, Chip, CloseButton, Group, MultiSelect, TextInput } from "@mantine/core";
import { IconArrowRight, IconSearch } from "@tabler/icons-react";
import { useEffect, useState } from "react";
import type { Slice } from "@/charts/Donut";
import { shown, toggled } from "@/charts/legend";
import { SeverityMark } from "@/components/Severity";
import type { Filters } from "@/lib/filters";
import { severities, severityLook } from "@/lib/severity";

/** What the list of events is filtered by most: words, types, severities. */
export function FilterBar(props: { filters: Filters; setFilters: (f: Filters) => void; types: Slice[] }) {
  const { filters, setFilters } = props;
  const q = filters.q?.[0] ?? "";
  const [text, setText] = useState(q);
  useEffect(() => setText(q), [q]);
  const put = (field: string, values: string[]) => {
    const { [field]: _, ...rest } = filters;
    setFilters(values.length > 0 ? { ...rest, [field]: values } : rest);
  };
  const names = [...new Set([...props.types.map((t) => t.name), ...(filters.name ?? [])])];
  const counts = new Map(props.types.map((t) => [t.name, t.count]));
  return (
    <Group gap="sm" align="center" component="search">
      <Box
        component="form"
        w={{ base: "100%", sm: "auto" }}
        onSubmit={(e) => {
          e.preventDefault();
          put("q", text.trim() ? [text.trim()] : []);
        }}
      >
        <TextInput
          w={{ base: "100%", sm: 300 }}
          size="sm"
          aria-label="Search events"
          placeholder="Address, account, path, id"
          leftSection={<IconSearch size={16} />}
          value={text}
          maxLength={256}
          onChange={(e) => setText(e.currentTarget.value)}
          rightSection={
            text !== q ? (
              <ActionIcon type="submit" variant="subtle" size="sm" aria-label="Search">
                <IconArrowRight size={16} />
              </ActionIcon>
            ) : text ? (
              <CloseButton size="sm" aria-label="Clear the search" onClick={() => put("q", [])} />
            ) : null
          }
        />
      </Box>
      <MultiSelect
        w={{ base: "100%", sm: 300 }}
        size="sm"
        aria-label="Types"
        placeholder={filters.name ? undefined : "All types"}
        data={names}
        value={filters.name ?? []}
        onChange={(values) => put("name", values)}
        searchable
        clearable
        hidePickedOptions
        maxDropdownHeight={320}
        comboboxProps={{ width: 340, position: "bottom-start" }}
        renderOption={({ option }) => (
          <Group justify="space-between" w="100%" wrap="nowrap" fz="xs">
            <span className="mono breakable">{option.value}</span>
            <span className="numeric">{counts.get(option.value)?.toLocaleString("en") ?? ""}</span>
          </Group>
        )}
      />
      <Group gap={6} role="group" aria-label="Severities">
        {[...severities].reverse().map((s) => (
          <Chip
            key={s}
            size="xs"
            radius="sm"
            variant="outline"
            checked={shown(filters, "severity", s)}
            onChange={() => setFilters(toggled(filters, "severity", s))}
          >
            <Group gap={5} wrap="nowrap" component="span">
              <SeverityMark severity={s} size={9} />
              {severityLook[s].label}
            </Group>
          </Chip>
        ))}
      </Group>
    </Group>
  );
}

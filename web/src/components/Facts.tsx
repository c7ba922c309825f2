import { Box, SimpleGrid, Text } from "@mantine/core";
import type { ReactNode } from "react";

/** A few figures about something, each with its name. */
export function Facts({
  items,
  min = 130,
  large = false,
}: {
  items: [string, ReactNode][];
  min?: number;
  /** They are what one looks at first. */
  large?: boolean;
}) {
  return (
    <Box
      component="dl"
      m={0}
      style={{
        display: "grid",
        gap: "12px 20px",
        alignContent: "start",
        gridTemplateColumns: `repeat(auto-fill, minmax(${min}px, 1fr))`,
      }}
    >
      {items.map(([name, value]) => (
        <Box key={name}>
          <Text component="dt" size="xs" c="dimmed">
            {name}
          </Text>
          <Box component="dd" m={0} fz={large ? 18 : "sm"} fw={large ? 650 : 500} className="breakable">
            {value}
          </Box>
        </Box>
      ))}
    </Box>
  );
}

/** Figures in a row, large: what one looks at first. */
export function Figures({ items }: { items: { name: string; value: ReactNode; tone?: string }[] }) {
  return (
    <SimpleGrid
      cols={{ base: 2, xs: 3, md: items.length }}
      spacing="sm"
      component="dl"
      m={0}
      className="figures"
    >
      {items.map((f) => (
        <Box
          key={f.name}
          className="surface"
          px="md"
          py="sm"
          style={{ borderRadius: "var(--mantine-radius-md)" }}
        >
          <Text component="dt" size="xs" c="dimmed">
            {f.name}
          </Text>
          <Text component="dd" m={0} fz={20} fw={650} lh={1.3} c={f.tone} className="breakable" ta="left">
            {f.value}
          </Text>
        </Box>
      ))}
    </SimpleGrid>
  );
}

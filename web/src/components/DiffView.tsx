import { Box, ScrollArea, Text } from "@mantine/core";
import { useMemo } from "react";
import { condense, diffLines } from "@/lib/diff";
import classes from "./DiffView.module.css";

const signs = { same: " ", gone: "−", new: "+" };
const words = { same: "", gone: "taken away: ", new: "added: " };

/** Two texts compared line by line; what is far from every change is left out. */
export function DiffView(props: {
  before: string;
  after: string;
  label: string;
  maxHeight?: number | string;
}) {
  const lines = useMemo(() => condense(diffLines(props.before, props.after)), [props.before, props.after]);
  if (lines.length === 0) {
    return (
      <Text size="sm" c="dimmed">
        No difference.
      </Text>
    );
  }
  let key = 0;
  return (
    <ScrollArea.Autosize mah={props.maxHeight ?? "50vh"} type="auto" className={classes.frame}>
      <Box component="ol" className={classes.lines} aria-label={props.label}>
        {lines.map((line) =>
          typeof line === "number" ? (
            <li key={`k${key++}`} className={classes.skip}>
              {line} unchanged {line === 1 ? "line" : "lines"}
            </li>
          ) : (
            <li key={`k${key++}`} className={classes[line.kind]}>
              <span className={classes.sign} aria-hidden="true">
                {signs[line.kind]}
              </span>
              <span>
                {words[line.kind] && <span className="visually-hidden">{words[line.kind]}</span>}
                {line.text || " "}
              </span>
            </li>
          ),
        )}
      </Box>
    </ScrollArea.Autosize>
  );
}

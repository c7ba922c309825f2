import { Box, ScrollArea } from "@mantine/core";
import classes from "./CodeBlock.module.css";
import { Copy } from "./Links";

/** A text to copy: a command, a program, a document. */
export function CodeBlock(props: { code: string; label: string; maxHeight?: number | string }) {
  return (
    <Box className={classes.block}>
      <Box className={classes.copy}>
        <Copy value={props.code} label={`Copy: ${props.label}`} />
      </Box>
      <ScrollArea.Autosize mah={props.maxHeight ?? 420} type="auto">
        <pre className={classes.code}>
          <code>{props.code}</code>
        </pre>
      </ScrollArea.Autosize>
    </Box>
  );
}

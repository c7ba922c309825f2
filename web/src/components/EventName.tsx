import { Text } from "@mantine/core";
import { Fragment } from "react";

/** The name of an event, which may break after each "_". */
export function EventName({ name, dim = false }: { name?: string; dim?: boolean }) {
  if (!name) return <Text size="sm">–</Text>;
  const parts = name.split("_");
  return (
    <Text component="span" size={dim ? "xs" : "sm"} c={dim ? "dimmed" : undefined} className="breakable">
      {parts.map((p, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the parts never change their order
        <Fragment key={i}>
          {p}
          {i < parts.length - 1 && (
            <>
              _<wbr />
            </>
          )}
        </Fragment>
      ))}
    </Text>
  );
}

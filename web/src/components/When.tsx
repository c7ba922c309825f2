import { Text, Tooltip } from "@mantine/core";
import { exact, relative, timeZone } from "@/lib/time";

/** An instant: relative in the text, exact on hover and by keyboard. */
export function When({
  at,
  exactly = false,
  dim = false,
  inline = false,
}: {
  at?: string;
  exactly?: boolean;
  dim?: boolean;
  /** Within a sentence: it looks as the sentence does. */
  inline?: boolean;
}) {
  if (!at) return <Text size="sm">–</Text>;
  return (
    <Tooltip label={`${exact(at)} ${timeZone()}`}>
      <Text
        component="time"
        dateTime={at}
        size={inline ? undefined : dim ? "xs" : "sm"}
        inherit={inline}
        c={dim ? "dimmed" : undefined}
        tabIndex={0}
        className="numeric"
        ta="left"
      >
        {exactly ? exact(at) : relative(at)}
      </Text>
    </Tooltip>
  );
}

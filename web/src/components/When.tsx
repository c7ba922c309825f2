import { Text, Tooltip } from "@mantine/core";
import { exact, relative, timeZone } from "@/lib/time";

/** An instant: relative in the text, exact on hover and by keyboard. */
export function When({
  at,
  exactly = false,
  dim = false,
}: {
  at?: string;
  exactly?: boolean;
  dim?: boolean;
}) {
  if (!at) return <Text size="sm">–</Text>;
  return (
    <Tooltip label={`${exact(at)} ${timeZone()}`}>
      <Text
        component="time"
        dateTime={at}
        size={dim ? "xs" : "sm"}
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

import { Alert, List, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, data } from "@/api/client";
import { ProblemAlert } from "@/components/Feedback";
import { plural } from "@/lib/words";

/** Sends a test mail and shows what the mail server answered, in its own words. */
export function useTestMail() {
  const queries = useQueryClient();
  const test = useMutation({
    mutationFn: (to: string[]) => data(api.POST("/v1/alerts/test", { body: to.length > 0 ? { to } : {} })),
    onSettled: () => void queries.invalidateQueries({ queryKey: ["deliveries"] }),
  });
  const items = test.data?.items ?? [];
  const failed = items.filter((i) => !i.ok).length;
  const result = test.error ? (
    <ProblemAlert error={test.error} />
  ) : items.length > 0 ? (
    <Alert
      role="status"
      color={failed > 0 ? "red" : "warder"}
      variant="light"
      title={
        failed > 0
          ? `${failed} of ${plural(items.length, "test mail")} failed`
          : `Sent to ${plural(items.length, "recipient")}`
      }
      withCloseButton
      closeButtonLabel="Close"
      onClose={test.reset}
    >
      <List size="sm">
        {items.map((i) => (
          <List.Item key={i.recipient} className="breakable">
            <Text span size="sm" fw={600}>
              {i.recipient}
            </Text>
            : <span className="mono">{i.error || i.answer}</span>
          </List.Item>
        ))}
      </List>
    </Alert>
  ) : null;
  return { ...test, result };
}

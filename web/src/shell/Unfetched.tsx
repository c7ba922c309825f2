import { Alert, Button, Stack, Text } from "@mantine/core";
import { IconCloudOff } from "@tabler/icons-react";
import { useEffect } from "react";

/** Whether the code of a page could not be fetched, in the words of the browsers and of the bundler. */
export const unfetched = (error: unknown) =>
  error instanceof Error &&
  /dynamically imported module|Importing a module script failed|Unable to preload CSS/i.test(error.message);

/** Code of a page that did not arrive. */
export class NotFetched extends Error {}

/** Fetches the code of a page. What the browser says of a failure is kept from
 * the router, which would reload a page that nobody serves. */
export const fetched = <T,>(load: () => Promise<T>) =>
  load().catch((cause) => {
    throw unfetched(cause) ? new NotFetched("The page did not arrive", { cause }) : cause;
  });

const mark = "warder-page-fetched-again";
const pause = 60_000; // milliseconds between two attempts that nobody asked for

/** A page whose code did not arrive: Warder is away, or another version since
 * the page was opened. As soon as Warder answers it is all fetched again. */
export function Unfetched() {
  useEffect(() => {
    const timer = setInterval(async () => {
      if (Date.now() - Number(sessionStorage.getItem(mark) ?? 0) < pause) return;
      const ready = await fetch("/readyz").catch(() => undefined);
      if (!ready?.ok) return;
      sessionStorage.setItem(mark, String(Date.now()));
      location.reload();
    }, 2_000);
    return () => clearInterval(timer);
  }, []);
  return (
    <Alert
      role="alert"
      color="yellow"
      variant="light"
      icon={<IconCloudOff />}
      title="This page did not arrive"
    >
      <Stack gap="xs" align="flex-start">
        <Text size="sm">
          Warder does not answer, or was updated meanwhile. The page is fetched again by itself as soon as
          Warder answers.
        </Text>
        <Button size="xs" variant="default" onClick={() => location.reload()}>
          Fetch it now
        </Button>
      </Stack>
    </Alert>
  );
}

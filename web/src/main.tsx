import "@mantine/core/styles.css";
import "@mantine/dates/styles.css";
import "@mantine/notifications/styles.css";
import "@mantine/spotlight/styles.css";
import "./global.css";
import { MantineProvider } from "@mantine/core";
import { ModalsProvider } from "@mantine/modals";
import { Notifications } from "@mantine/notifications";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { setNonce } from "get-nonce";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { whenSignedOut } from "./api/client";
import { queries } from "./lib/queries";
import { router } from "./router";
import { theme, variables } from "./theme";

// Styles that are made while the page runs carry the nonce of the policy
// under which the server sent it.
const nonce = document.querySelector('meta[property="csp-nonce"]')?.getAttribute("content") ?? "";
setNonce(nonce);

whenSignedOut(() => {
  const here = window.location.pathname + window.location.search;
  // Several calls may learn at once that the session has ended; the first leads
  // away. The later ones must not take from the sign-in what it waits for.
  if (here.startsWith("/sign-in")) return;
  queries.clear();
  void router.navigate({
    to: "/sign-in",
    search: (here === "/" ? {} : { to: here }) as never,
    replace: true,
  });
});

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <MantineProvider
      theme={theme}
      cssVariablesResolver={variables}
      defaultColorScheme="auto"
      getStyleNonce={() => nonce}
    >
      <QueryClientProvider client={queries}>
        <ModalsProvider>
          <Notifications position="bottom-right" limit={4} />
          <RouterProvider router={router} />
        </ModalsProvider>
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);

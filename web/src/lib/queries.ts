import { QueryClient } from "@tanstack/react-query";
import { Problem } from "@/api/client";

/** What was asked of the API, for all pages. */
export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      refetchOnWindowFocus: true,
      // Warder away or busy: ask again by itself. Everything else is an answer.
      retry: (count, error) =>
        error instanceof Problem && (error.status === 0 || error.status === 503) && count < 30,
      retryDelay: (count) => Math.min(1000 * 2 ** count, 10_000),
    },
  },
});

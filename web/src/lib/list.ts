import { useInfiniteQuery } from "@tanstack/react-query";

type Part<T> = { items: T[] | null; next?: string };

/** A list that is fetched in parts ("Show more"). The key begins with the
 * resource, so that changes elsewhere refresh it. */
export function useParts<T>(key: unknown[], load: (cursor: string | undefined) => Promise<Part<T>>) {
  const query = useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam }) => load(pageParam || undefined),
    initialPageParam: "",
    getNextPageParam: (last) => last.next || undefined,
    placeholderData: (before) => before,
  });
  return {
    rows: query.data?.pages.flatMap((p) => p.items ?? []),
    error: query.error,
    retry: () => void query.refetch(),
    more: query.hasNextPage ? () => void query.fetchNextPage() : undefined,
    loadingMore: query.isFetchingNextPage,
    fetching: query.isFetching,
  };
}

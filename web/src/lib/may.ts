import { useQuery } from "@tanstack/react-query";
import { api, data, Problem, type Schemas } from "@/api/client";

export type Role = Schemas["Me"]["role"];
const order: Role[] = ["viewer", "analyst", "admin", "owner"];

/** Whether a role may do what another role may do. */
export const atLeast = (role: Role | undefined, wanted: Role) =>
  role !== undefined && order.indexOf(role) >= order.indexOf(wanted);

/** Whether the person at the screen has at least a role. The API enforces it;
 * this only keeps what would be refused from being offered. */
export function useMay(wanted: Role): boolean {
  const me = useQuery({
    queryKey: ["me"],
    queryFn: () => data(api.GET("/v1/me")),
    staleTime: 60_000,
  });
  // During development an API key stands in for a person; it may do everything.
  if (me.error instanceof Problem && me.error.status === 403) return true;
  return atLeast(me.data?.role, wanted);
}

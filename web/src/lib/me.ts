import { queryOptions, useQuery } from "@tanstack/react-query";
import { api, data, Problem, type Schemas } from "@/api/client";
import { setTimeZone } from "./time";

export type Me = Schemas["Me"];
export type Role = Me["role"];

/** The roles, from the least to the most. An analyst reads and writes notes
 * and marks; blocking and lifting begin with admin. */
export const roles = ["viewer", "analyst", "admin", "owner"] as const;

/** Whether a role reaches another: an owner can all that an admin can. */
export function reaches(role: Role | undefined, needed: Role): boolean {
  return role !== undefined && roles.indexOf(role) >= roles.indexOf(needed);
}

/** Somebody who works with an API key and no operator: during development. */
const standIn: Me = {
  id: "",
  name: "API key",
  email: "",
  role: "owner",
  created: "",
  passkeys: 0,
  recovery_codes_left: 0,
  time_zone: "",
  totp: false,
};

async function load(): Promise<Me> {
  try {
    const me = await data<Me>(api.GET("/v1/me"));
    // Before any page asks for its days.
    setTimeZone(me.time_zone);
    return me;
  } catch (e) {
    // No such call, or one that an API key may not make: nobody is signed in
    // but the API answers. What it allows, it decides itself.
    if (e instanceof Problem && [403, 404, 501].includes(e.status)) return standIn;
    throw e;
  }
}

/** Asks who is signed in. Whoever asks for days waits for it: it says where the
 * day begins. */
export const whoIsSignedIn = queryOptions({ queryKey: ["me"], queryFn: load, staleTime: 60_000 });

/** Who is signed in, and what that person may do. While it is not known yet,
 * nothing is offered. */
export function useMe() {
  const { data: me, error } = useQuery(whoIsSignedIn);
  return {
    me,
    error,
    role: me?.role,
    can: (needed: Role) => reaches(me?.role, needed),
  };
}

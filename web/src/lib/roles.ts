import type { Role } from "./me";

/** The roles in words. */
export const roleWords: Record<Role, { label: string; about: string }> = {
  owner: { label: "Owner", about: "Everything, other operators too" },
  admin: { label: "Admin", about: "Blocks and unblocks, changes the policy, keys and settings" },
  analyst: { label: "Analyst", about: "Reads everything, writes notes and marks" },
  viewer: { label: "Viewer", about: "Reads everything, changes nothing" },
};

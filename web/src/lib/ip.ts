import { network, parseAddress } from "./address";

/** Whether the outer prefix holds all of the inner one. */
export function covers(outer: string, inner: string): boolean {
  const o = parseAddress(outer);
  const i = parseAddress(inner);
  if (!o || !i || o.family !== i.family || o.bits > i.bits) return false;
  return network(o, o.bits) === network(i, o.bits);
}

/** The address in a prefix, without its length: what its page is found by. */
export const addressOf = (prefix: string) => prefix.split("/")[0] ?? prefix;

/** Whether a prefix has a page: one IPv4 address, or the /64 that IPv6 is counted by. */
export function hasPage(prefix: string): boolean {
  const p = parseAddress(prefix);
  return p !== undefined && (p.family === 4 ? p.bits === 32 : p.bits >= 64);
}

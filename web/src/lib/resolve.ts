import { network, parseAddress } from "./address";

/** A place that a search leads to: a path of this dashboard. */
export type Hit = { kind: string; title: string; about: string; to: string };

/** What a text can be meant as, without asking anybody: an address, the
 * reference that a blocked caller reads out, the id of an event. */
export function resolve(text: string): Hit[] {
  const q = text.trim();
  if (!q) return [];
  const hits: Hit[] = [];
  const a = parseAddress(q);
  if (a) {
    const whole = a.bits === (a.family === 4 ? 32 : 128);
    const name = network(a, a.bits);
    hits.push(
      whole
        ? {
            kind: "Address",
            title: name,
            about: "Everything about this address",
            to: `/addresses/${encodeURIComponent(name)}`,
          }
        : {
            kind: "Prefix",
            title: name,
            about: "Blocks that touch it",
            to: `/blocks?ip=${encodeURIComponent(name)}`,
          },
      { kind: "Events", title: name, about: "Its events", to: `/events?ip=${encodeURIComponent(name)}` },
    );
    return hits;
  }
  // The beginning of an address: its network.
  const begun = /^(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?\.?$/.exec(q);
  if (begun?.slice(1).every((n) => Number(n ?? 0) < 256)) {
    const name = begun[3] ? `${begun[1]}.${begun[2]}.${begun[3]}.0/24` : `${begun[1]}.${begun[2]}.0.0/16`;
    hits.push(
      {
        kind: "Events",
        title: name,
        about: "Events from this network",
        to: `/events?ip=${encodeURIComponent(name)}`,
      },
      {
        kind: "Prefix",
        title: name,
        about: "Blocks that touch it",
        to: `/blocks?ip=${encodeURIComponent(name)}`,
      },
    );
  }
  const reference = /^([0-9a-z]{4})[\s-]?([0-9a-z]{4})$/i.exec(q);
  if (reference) {
    const name = `${reference[1]}-${reference[2]}`.toUpperCase();
    hits.push({
      kind: "Reference",
      title: name,
      about: "Why this caller was refused",
      to: `/references/${name}`,
    });
  }
  if (/^[0-9a-z]{20,32}$/.test(q)) {
    hits.push({ kind: "Event", title: q, about: "The event with this id", to: `/events?event=${q}` });
  }
  return hits;
}

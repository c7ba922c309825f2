/** What is said of an address or prefix without asking Warder. */
export type Address = { family: 4 | 6; groups: number[]; bits: number };

/** Reads "203.0.113.9", "203.0.113.0/24", "2001:db8::1", "2001:db8::/64". */
export function parseAddress(text: string): Address | undefined {
  const [host, prefix, more] = text.trim().split("/");
  if (!host || more !== undefined) return undefined;
  const v4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(host);
  const groups = v4 ? v4.slice(1).map(Number) : parse6(host);
  if (!groups || (v4 && groups.some((g) => g > 255))) return undefined;
  const most = v4 ? 32 : 128;
  if (prefix !== undefined && !/^\d{1,3}$/.test(prefix)) return undefined;
  const bits = prefix === undefined ? most : Number(prefix);
  if (bits > most) return undefined;
  return { family: v4 ? 4 : 6, groups, bits };
}

function parse6(text: string): number[] | undefined {
  if (!/^[0-9a-f:]+(?:\d+\.\d+\.\d+\.\d+)?$/i.test(text) || !text.includes(":")) return undefined;
  const tail = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (tail) {
    const [a, b, c, d] = tail.slice(2).map(Number) as [number, number, number, number];
    if ([a, b, c, d].some((n) => n > 255)) return undefined;
    return parse6(`${tail[1]}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`);
  }
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const words = (half: string) => (half === "" ? [] : half.split(":"));
  const head = words(halves[0] ?? "");
  const rest = halves.length === 2 ? words(halves[1] ?? "") : [];
  if ([...head, ...rest].some((w) => !/^[0-9a-f]{1,4}$/i.test(w))) return undefined;
  const gap = 8 - head.length - rest.length;
  if (halves.length === 2 ? gap < 1 : gap !== 0) return undefined;
  return [...head, ...Array<string>(halves.length === 2 ? gap : 0).fill("0"), ...rest].map((w) =>
    Number.parseInt(w, 16),
  );
}

/** Writes the network of an address, "203.0.113.0/24"; whole addresses have no "/". */
export function network(a: Address, bits: number): string {
  const size = a.family === 4 ? 8 : 16;
  const full = 2 ** size - 1;
  const groups = a.groups.map((g, i) => {
    const kept = Math.min(Math.max(bits - i * size, 0), size);
    return g & (full << (size - kept)) & full;
  });
  const text = a.family === 4 ? groups.join(".") : write6(groups);
  return bits === (a.family === 4 ? 32 : 128) ? text : `${text}/${bits}`;
}

function write6(groups: number[]): string {
  // The longest run of zeros, of two at least, is left out (RFC 5952).
  let [start, length] = [-1, 1];
  for (let i = 0; i < groups.length; i++) {
    let n = 0;
    while (groups[i + n] === 0) n++;
    if (n > length) [start, length] = [i, n];
    i += n;
  }
  const hex = (part: number[]) => part.map((g) => g.toString(16)).join(":");
  return start < 0 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

export type Choice = { value: string; label: string };

/** How wide a block can be drawn around an address: itself and its usual
 * networks. A prefix offers itself only. */
export function blockChoices(ip: string): Choice[] {
  const a = parseAddress(ip);
  if (!a) return [{ value: ip, label: ip }];
  const choice = (bits: number, about: string) => {
    const value = network(a, bits);
    return { value: a.family === 6 && bits === 128 ? `${value}/128` : value, label: `${value} · ${about}` };
  };
  if (a.family === 4) {
    if (a.bits < 32) return [choice(a.bits, addresses(32 - a.bits))];
    return [choice(32, "this address"), choice(29, "8 addresses"), choice(24, "256 addresses")];
  }
  // An IPv6 subscriber has a /64 at least: an address alone is changed at will.
  if (a.bits < 64) return [choice(a.bits, addresses(128 - a.bits))];
  return [
    choice(64, "its network, the usual choice"),
    ...(a.bits === 128 ? [choice(128, "this address only")] : []),
    choice(56, "a site"),
    choice(48, "a large site"),
  ];
}

function addresses(bits: number): string {
  return bits <= 30 ? `${(2 ** bits).toLocaleString("en")} addresses` : `2^${bits} addresses`;
}

import type { Schemas } from "@/api/client";
import type { Block } from "./blocks";
import { covers } from "./ip";
import { crossing, remaining, subjectOf } from "./report";
import { dayjs, exact, relative } from "./time";
import { straight } from "./words";

type Profile = Schemas["AccountProfile"];

/** One finding about an account, in plain words: what is so, and what to do about it. */
export type Finding = {
  key: string;
  /** stop: refused; step: something more is asked; hint: worth knowing; fine: nothing in the way. */
  tone: "stop" | "step" | "hint" | "fine";
  says: string;
  why?: string;
  todo?: string;
  /** The block that can be lifted to put it right. */
  block?: Block;
  /** Can be lifted. */
  demand?: Schemas["DemandView"];
  /** Blocks among which the right one is found by its reference. */
  blocks?: Block[];
};

const reasons: Record<string, string> = {
  wrong_password: "the password was wrong",
  unknown_account: "the application does not know an account of this name",
  locked: "the application itself has locked the account",
  mfa_failed: "the second factor was wrong",
  expired: "the password or the account has expired in the application",
};

const inWords = (reason?: string) => (reason ? (reasons[reason] ?? `the application said "${reason}"`) : "");

/** The ids of blocks that recently refused this account, the latest first. */
export function refusingBlocks(p: Profile, now = Date.now()): string[] {
  const day = now - 7 * 86400_000;
  const ids = p.recent_events
    .filter((e) => e.action === "block" && e.block_id && dayjs(e.time).valueOf() >= day)
    .map((e) => e.block_id as string);
  return [...new Set(ids)].slice(0, 8);
}

const triedFrom = (p: Profile, b: Block) =>
  p.recent_events.filter((e) => e.block_id === b.id || (b.ip && e.ip && covers(b.ip, e.ip)));

const lastTried = (p: Profile, b: Block) => {
  const last = triedFrom(p, b)[0];
  return last ? relative(last.time) : "recently";
};

/** Why a blocked address is probably the person's own; "" if nothing says so. */
function ownPlace(p: Profile, b: Block): string {
  const known = p.known_sources.find((k) => k.ip && b.ip && (covers(b.ip, k.ip) || covers(k.ip, b.ip)));
  if (known)
    return `The person signed in well from there ${relative(known.last_signed_in)}: this is probably a mistake.`;
  const devices = new Set(p.recent_events.filter((e) => e.completed && e.device).map((e) => e.device));
  if (triedFrom(p, b).some((e) => e.known_source || (e.device && devices.has(e.device))))
    return "It was tried with a device that the person signed in with before: this is probably a mistake.";
  return "";
}

const made = (b: Block) =>
  b.source === "rule"
    ? `It crossed the threshold of rule ${b.rule}${crossing(b) ? ` (${crossing(b)})` : ""}${b.blocked_at ? ` ${relative(b.blocked_at)}` : ""}.`
    : `${b.source === "manual" ? `${b.by ?? "Somebody"} blocked it by hand` : `It came by ${b.source}`}${b.reason ? `: ${b.reason}` : ""}.`;

const ends = (b: Block, now: number) =>
  b.until
    ? `It ends by itself in ${remaining(b, now).replace(" left", "")}.`
    : "It stays until somebody lifts it.";

/**
 * Why can this person not sign in? The answer in the order of weight: what
 * refuses, what asks for more, what the application said, and if nothing is in
 * the way, that too. `met` are the blocks that recently refused the account.
 */
export function whyNot(p: Profile, met: Block[], now = Date.now()): Finding[] {
  const out: Finding[] = [];
  const name = straight(p.account);
  const latest = p.recent_events[0];
  if (!p.known && p.recent_events.length === 0) {
    return [
      {
        key: "unknown",
        tone: "hint",
        says: "Warder has never seen this account.",
        todo: "Check the spelling and the realm. If both are right, the application does not report to Warder, or nobody has tried yet.",
      },
    ];
  }

  const seen = new Set<string>();
  const stands = (b: Block) => b.state === "active" && !seen.has(b.id) && seen.add(b.id);
  for (const b of [...p.blocks, ...(p.why.blocks ?? [])].filter(stands)) {
    const place = b.ip ? ` from ${b.ip}` : b.session ? " in one session" : "";
    out.push({
      key: b.id,
      tone: "stop",
      says: b.session
        ? `One session of ${name} was ended; the person can sign in again.`
        : `Signing in as ${name}${place} is refused.`,
      why: `${made(b)} ${ends(b, now)}`,
      todo: b.ip
        ? "If the person sits at this address, lift the block as a mistake."
        : "Where the person has signed in before, they still can. If this was the person, lift the block.",
      block: b,
    });
  }
  // Addresses that the person is known to use come first and each by itself;
  // those of strangers, when an attack brought many, together.
  const hit = met.filter(stands).map((b) => ({ b, own: ownPlace(p, b) }));
  for (const { b, own } of hit.filter((h) => h.own)) {
    out.push({
      key: b.id,
      tone: "stop",
      says: `The address ${b.ip ?? subjectOf(b)} is blocked. ${name} was tried from it ${lastTried(p, b)}.`,
      why: `${made(b)} ${ends(b, now)}`,
      todo: `${own} Lift it with the verdict "a mistake", and trust the address if it is theirs for good.`,
      block: b,
    });
  }
  const strangers = hit.filter((h) => !h.own).map((h) => h.b);
  for (const b of strangers.length <= 2 ? strangers : []) {
    out.push({
      key: b.id,
      tone: "stop",
      says: `The address ${b.ip ?? subjectOf(b)} is blocked. ${name} was tried from it ${lastTried(p, b)}.`,
      why: `${made(b)} ${ends(b, now)}`,
      todo: `Ask the person whether they sit there, or for the reference they see (${b.reference}). If they do, lift it as a mistake; if they do not, somebody else is trying their account: leave it.`,
      block: b,
    });
  }
  if (strangers.length > 2) {
    out.push({
      key: "strangers",
      tone: "stop",
      says: `${strangers.length} blocked addresses tried ${name}, and the person never signed in from them.`,
      why: "This looks like somebody else trying the account. Their blocks do not keep the person out elsewhere.",
      todo: "Ask the person for the reference they see: only the block with that reference is theirs to lift.",
      blocks: strangers,
    });
  }

  for (const d of p.why.demands ?? []) {
    if (d.observed) continue;
    const until = d.until ? ` until ${exact(d.until)}` : "";
    out.push({
      key: d.id,
      tone: "step",
      demand: d,
      says:
        d.action === "mfa"
          ? `A second factor is asked for when signing in from an unknown place${until}.`
          : `A challenge must be solved before signing in from an unknown place${until}.`,
      why: `Rule ${d.rule} demands it since ${relative(d.from)}.`,
      todo:
        d.action === "mfa"
          ? "The person needs their second factor. If they have none, help them to set one up, or let them come from a place where they signed in before."
          : "The person solves the challenge on the sign-in page. If they cannot, let them come from a place where they signed in before.",
    });
  }

  const ended = p.sessions.find((s) => s.revoked_at && now - dayjs(s.revoked_at).valueOf() < 86400_000);
  if (ended?.revoked_at) {
    out.push({
      key: `session ${ended.session}`,
      tone: "hint",
      says: `A session of ${name} was ended ${relative(ended.revoked_at)}${ended.reason ? ` (${ended.reason})` : ""}.`,
      todo: "That ends this session only: the person signs in again.",
    });
  }

  const passed = p.recent_events.filter(
    (e) => e.action !== "block" && e.name.endsWith("_FAILURE") && now - dayjs(e.time).valueOf() < 86400_000,
  );
  const success = p.recent_events.find((e) => e.completed);
  const since = passed.filter((e) => !success || e.time > success.time);
  const first = since[0];
  if (first) {
    out.push({
      key: "application",
      tone: "hint",
      says: `Warder let ${since.length === 1 ? "the last attempt" : `${since.length} attempts`} through and the application refused: ${inWords(first.reason) || first.name}.`,
      why: `Last from ${first.ip ?? "an unknown address"} ${relative(first.time)}.`,
      todo:
        first.reason === "wrong_password" || !first.reason
          ? "A forgotten or mistyped password: let the person reset it. Warder does not stand in the way of these."
          : "This is settled in the application, not here.",
    });
  }
  for (const c of p.why.counters ?? []) {
    if (c.mode !== "enforce" || c.threshold - c.count > 2 || c.count === 0 || c.count >= c.threshold)
      continue;
    out.push({
      key: `counter ${c.rule}`,
      tone: "hint",
      says: `${c.count} of ${c.threshold} failures are counted by rule ${c.rule}: ${c.threshold - c.count === 1 ? "one more" : "two more"} and it acts.`,
      todo: "If these were the person's own mistakes, clear the tracking of this account.",
    });
  }

  if (!out.some((f) => f.tone === "stop" || f.tone === "step")) {
    const quiet = !latest || now - dayjs(latest.time).valueOf() > 86400_000;
    out.unshift({
      key: "fine",
      tone: "fine",
      says: `Nothing of Warder stops ${name} from signing in.`,
      why: success
        ? `The last sign-in succeeded ${relative(success.time)} from ${success.ip ?? "an unknown address"}.`
        : undefined,
      todo: quiet
        ? "No attempt of this account arrived in the last 24 hours: if the person tries now, look at the application and at what stands in front of it. Ask for the reference on the page they see."
        : "If the person sees a refusal, ask for the reference on the page: their address may be blocked without their account.",
    });
  }
  return out;
}

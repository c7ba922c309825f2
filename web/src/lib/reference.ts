import type { Schemas } from "@/api/client";
import { crossing, remaining, verdicts } from "./report";
import { exact, relative } from "./time";

type Reference = Schemas["ReferenceView"];

export type Answer = {
  tone: "stop" | "step" | "hint" | "fine";
  says: string;
  why?: string;
  todo?: string;
  /** What may be told to a stranger on the telephone. */
  caller: string;
};

const reasons: Record<string, string> = {
  provider: "a provider of known attackers lists the address",
  history: "of what the address did before",
  geo: "of the country it came from",
  session_revoked: "the session was ended",
  demand: "a challenge or a second factor was demanded and not met",
  risk: "it looked too risky",
  pattern: "it matched a forbidden pattern",
  threshold_exceeded: "there were too many attempts",
};

/** A reference in plain sentences: is it still in force, why, what to do, and what to say. */
export function referenceAnswer(r: Reference): Answer {
  const b = r.block;
  const whom = r.ip ?? r.account ?? "somebody";
  if (!b) {
    return {
      tone: "hint",
      says: `A request of ${whom} was refused ${relative(r.time)} because ${reasons[r.reason] ?? `of ${r.reason}`}.`,
      why: r.rule ? `By ${r.rule}.` : undefined,
      todo: "It was a single refusal, not a block: there is nothing to lift. If it was wrong, trust the address or change the policy.",
      caller: "It was one refusal. Please try again; if it happens again, read out the new reference.",
    };
  }
  const cause =
    b.source === "rule"
      ? `Rule ${b.rule}${crossing(b) ? `: ${crossing(b)}` : ""}${b.event ? `, ${b.event}` : ""}.`
      : `${b.reason || "No reason was given"}.`;
  switch (b.state) {
    case "active":
      return {
        tone: "stop",
        says: `${whom} was blocked ${relative(b.blocked_at ?? r.time)} and still is, ${remaining(b)}.`,
        why: cause,
        todo:
          b.good_accounts_14d > 0
            ? `${b.good_accounts_14d} ${b.good_accounts_14d === 1 ? "account" : "accounts"} signed in well from there in the 14 days before: it may be a mistake. Make sure who is calling, then lift it.`
            : "Make sure who is calling. If it was their own mistake, lift it as a mistake; if in doubt, leave it.",
        caller: b.until
          ? `Access from your network is blocked because of too many failed attempts. It ends by itself on ${exact(b.until)}.`
          : "Access from your network is blocked because of suspicious activity. We look into it.",
      };
    case "lifted":
      return {
        tone: "fine",
        says: `The block of ${whom} was lifted ${relative(b.lifted_at ?? r.time)} as ${verdicts[b.verdict ?? ""] ?? b.verdict}.`,
        why: b.lift_reason || cause,
        todo: "If the caller is still refused, it is under another reference: ask for the one they see now.",
        caller:
          "The block was taken away. Please try again, and read out the new reference if you are refused.",
      };
    case "observed":
      return {
        tone: "hint",
        says: `${whom} would have been blocked ${relative(b.blocked_at ?? r.time)}; the rule only observes.`,
        why: cause,
        todo: "Nobody was refused because of it.",
        caller: "There is no block. Please try again.",
      };
    default:
      return {
        tone: "fine",
        says: `The block of ${whom} ended by itself ${relative(b.ended_at ?? b.until ?? r.time)}.`,
        why: cause,
        todo: "If the caller is still refused, it is under another reference: ask for the one they see now.",
        caller: "The block is over. Please try again, and read out the new reference if you are refused.",
      };
  }
}

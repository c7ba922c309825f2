/** Who did something, as people say it: "operator:a@example.org" is a@example.org. */
export function person(actor: string | undefined): string {
  if (!actor) return "Warder";
  const colon = actor.indexOf(":");
  const [kind, name] = colon < 0 ? [actor, ""] : [actor.slice(0, colon), actor.slice(colon + 1)];
  switch (kind) {
    case "operator":
      return name;
    case "key":
      return `API key ${name}`;
    case "cli":
      return `command line (user ${name})`;
    case "warder":
      return "Warder";
    default:
      return actor;
  }
}

export const plural = (n: number, one: string, many = `${one}s`) =>
  `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

/** A text that a stranger chose, in one direction: characters that turn the
 * words after them around are shown as what mails and reports show for them. */
export const straight = (text: string) => text.replace(/[\u202A-\u202E\u2066-\u2069]/g, "\uFFFD");

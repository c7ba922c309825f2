// The first owner of an instance, made by its one-time link, and people that
// the owner invites. Pages that begin signed in begin here.
import type { BrowserContext } from "playwright-core";
import type { Warder } from "./warder";

export const password = "correct horse battery staple";
export const ownerEmail = "owner@example.org";

const json = (warder: Warder) => ({ Origin: warder.url, "Content-Type": "application/json" });

async function post(warder: Warder, context: BrowserContext, path: string, body: unknown) {
  const answer = await context.request.post(warder.url + path, {
    headers: json(warder),
    data: JSON.stringify(body),
  });
  if (!answer.ok()) throw new Error(`POST ${path}: ${answer.status()} ${await answer.text()}`);
  const text = await answer.text();
  return text ? JSON.parse(text) : undefined;
}

/** Makes the first owner; the browser profile is signed in afterwards. */
export async function setUp(
  warder: Warder,
  context: BrowserContext,
  choice: { preset?: string; ipsum?: boolean } = {},
) {
  const token = warder.setupLink.split("token=")[1];
  await post(warder, context, "/v1/setup", {
    token,
    email: ownerEmail,
    name: "Olivia Owner",
    password,
    ...choice,
  });
}

/** Signs an existing person in. */
export async function signIn(warder: Warder, context: BrowserContext, email = ownerEmail) {
  await post(warder, context, "/v1/session", { email, password });
}

/** Invites somebody and takes the invitation in a browser profile of theirs. */
export async function invite(warder: Warder, owner: BrowserContext, theirs: BrowserContext, role: string) {
  const { link } = await post(warder, owner, "/v1/invitations", { email: `${role}@example.org`, role });
  const token = String(link).split("token=")[1];
  await post(warder, theirs, "/v1/invitations/accept", { token, name: `${role} Example`, password });
}

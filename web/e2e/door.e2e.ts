// The way in and out: the first set-up, signing in with every factor, an
// invitation, and the end of every session.
import type { BrowserContext, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { endBrowser, nothing, profile, watched } from "./browser";
import { ownerEmail, password } from "./owner";
import { MailServer } from "./smtp";
import { code } from "./totp";
import { Warder } from "./warder";

let warder: Warder;
let mail: MailServer;
let context: BrowserContext;
let page: Page;
let secret = "";
let codes: string[] = [];

beforeAll(async () => {
  warder = await new Warder().start();
  mail = await new MailServer().start();
  context = await profile();
  page = await watched(context, warder.url);
});
afterAll(async () => {
  await endBrowser();
  mail.stop();
  await warder.end();
});

const button = (name: string | RegExp, on: Page | Locator = page) =>
  on.getByRole("button", { name, exact: true });
const heading = (name: string, on = page) => on.getByRole("heading", { name, exact: true, level: 1 });
const field = (name: string, on = page) => on.getByLabel(name, { exact: true });

/** What the API answers to the session of the browser. */
const asOwner = async (path: string) => (await context.request.get(warder.url + path)).json();

/** Types a code of the authenticator app; the sixth digit sends it. */
async function give(digits: string) {
  await page.getByLabel("Digit 1 of 6").click();
  await page.keyboard.type(digits);
}

async function signOut(on = page) {
  await button(/Signed in as/, on).click();
  await on.getByRole("menuitem", { name: "Sign out" }).click();
  await heading("Sign in", on).waitFor();
}

async function signIn(email: string, secretWord: string, on = page) {
  await field("E-mail address", on).fill(email);
  await field("Password", on).fill(secretWord);
  await button("Sign in", on).click();
}

const inside = async (on = page) => {
  await heading("Security events", on).waitFor();
  expect(new URL(on.url()).pathname).toBe("/");
};

it("sets Warder up with the printed link: account, protection, network, mail", async () => {
  // Who came without the link pastes it into the same window.
  await page.goto(`${warder.url}/setup`);
  await heading("The link does not work").waitFor();
  await page.goto(warder.setupLink);
  await heading("Set up Warder").waitFor();
  // The token stays in no address bar and no history.
  await page.waitForURL(`${warder.url}/setup`);
  await field("E-mail address").fill(ownerEmail);
  await field("Name").fill("Olivia Owner");
  await field("Password").fill("eleven char");
  expect(await button("Next").isDisabled()).toBe(true);
  await field("Password").fill(password);
  await button("Next").click();

  expect(await page.getByRole("radio", { name: "Classic" }).isChecked()).toBe(true);
  await page.getByRole("radio", { name: "Observe" }).click();
  const ipsum = page.getByRole("switch", { name: "Use IPsum" });
  expect(await ipsum.isChecked()).toBe(true);
  await ipsum.uncheck();
  await button("Make the account and go on").click();

  await page.getByText("We see you as 127.0.0.1: correct?").waitFor();
  const policy = await asOwner("/v1/policy");
  expect(policy.mode).toBe("observe");
  expect(policy.providers.filter((p: { enabled: boolean }) => p.enabled)).toEqual([]);
  await button("No, there is a proxy").click();
  await field("Trusted proxies").fill("not an address");
  await button("Save and look again").click();
  await page.locator("textarea[aria-invalid=true]").waitFor();
  await field("Trusted proxies").fill("192.0.2.7\n192.0.2.128/25");
  await button("Save and look again").click();
  await button("Yes, that is me").click();
  const { trusted_proxies } = await asOwner("/v1/settings");
  expect(trusted_proxies).toEqual(["192.0.2.7", "192.0.2.128/25"]);

  await field("Server").fill("127.0.0.1");
  await field("Encryption").selectOption("none");
  expect(await field("Port").inputValue()).toBe("25");
  await field("Port").fill(String(mail.port));
  await field("Sender").fill("Warder <warder@example.org>");
  await button("Save and send a test").click();
  await page.getByText("taken as message 4711").waitFor();
  expect(mail.mails.map((m) => m.to)).toEqual([[ownerEmail]]);
  await button("It arrived: go on").click();
});

it("gives the owner a second factor and recovery codes, and is done", async () => {
  const shown = page.getByText(/^[A-Z2-7 ]{26,}$/);
  secret = (await shown.textContent()) ?? "";
  await give(code(secret));
  await page.getByText("they are shown this once").waitFor();
  codes = await page.locator("li.mono").allTextContents();
  expect(codes.length).toBeGreaterThanOrEqual(8);
  expect(new Set(codes).size).toBe(codes.length);
  await button("I have kept them").click();
  await heading("Warder is ready").waitFor();
  await page.getByRole("link", { name: "To the security events" }).click();
  await inside();
});

it("refuses the link of the set-up the second time", async () => {
  const stranger = await profile();
  const theirs = await watched(stranger, warder.url);
  await theirs.goto(warder.setupLink);
  await heading("Warder is set up", theirs).waitFor();
  expect(await theirs.getByRole("textbox").count()).toBe(0);
  const answer = await stranger.request.post(`${warder.url}/v1/setup`, {
    headers: { Origin: warder.url },
    data: { token: warder.setupLink.split("token=")[1], email: "mallory@example.org", password },
  });
  expect(answer.status()).toBeGreaterThanOrEqual(400);
  expect((await asOwner("/v1/operators")).items).toHaveLength(1);
  await stranger.close();
});

it("signs out by the menu, and in with the password and a code that was not used", async () => {
  await signOut();
  await signIn(ownerEmail, password);
  await heading("One more step").waitFor();
  // The password alone opens nothing.
  expect((await context.request.get(`${warder.url}/v1/events`)).status()).toBe(401);
  await give(code(secret, 1));
  await inside();
});

it("says the same to a wrong password and to an unknown address", async () => {
  await signOut();
  const texts: (string | null)[] = [];
  for (const email of [ownerEmail, "nobody@example.org"]) {
    await page.reload();
    await signIn(email, "a wrong password of some length");
    texts.push(await page.getByRole("alert").textContent());
  }
  expect(texts[0]).toMatch(/password/i);
  expect(texts[1]).toBe(texts[0]);
});

it("takes a recovery code once", async () => {
  const used = codes[0] as string;
  const recover = async () => {
    await page.reload();
    await signIn(ownerEmail, password);
    await button("Use a recovery code").click();
    await field("Recovery code").fill(used);
    await button("Go on").click();
  };
  await recover();
  await inside();
  await signOut();
  await recover();
  await page.getByRole("alert").waitFor();
  expect(await heading("One more step").isVisible()).toBe(true);
  await field("Recovery code").fill(codes[1] as string);
  await button("Go on").click();
  await inside();
});

it("adds a passkey and signs in with nothing else", async () => {
  const cdp = await context.newCDPSession(page);
  await cdp.send("WebAuthn.enable");
  await cdp.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  await page.goto(`${warder.url}/me`);
  await page.getByText(`${codes.length - 2} recovery codes left`).waitFor();
  await button("Add a passkey").click();
  await page.getByRole("dialog").getByLabel("Name").fill("key on my ring");
  await page.getByRole("dialog").getByRole("button", { name: "Go on" }).click();
  const keys = page.getByRole("table", { name: "Passkeys" });
  await keys.getByText("key on my ring").waitFor();
  expect(await keys.getByText("never").count()).toBe(1);
  await signOut();
  await button("Sign in with a passkey").click();
  await inside();
  await page.goto(`${warder.url}/me`);
  await keys.getByText("key on my ring").waitFor();
  expect(await keys.getByText("never").count()).toBe(0);
});

it("takes the passkey as the second step after the password", async () => {
  await signOut();
  await signIn(ownerEmail, password);
  await heading("One more step").waitFor();
  await button("Use a passkey").click();
  await inside();
});

it("asks who sits there before a passkey is removed, and then signs in without", async () => {
  await page.goto(`${warder.url}/me`);
  const keys = page.getByRole("table", { name: "Passkeys" });
  // As if the session were of this morning: the API refuses once, and means it.
  let asked = 0;
  await page.route("**/v1/me/passkeys/*", async (r) => {
    if (r.request().method() !== "DELETE" || asked++ > 0) return r.continue();
    await r.fulfill({
      status: 403,
      contentType: "application/problem+json",
      body: JSON.stringify({
        type: "urn:warder:prove",
        title: "Forbidden",
        status: 403,
        detail: "Prove it.",
      }),
    });
  });
  const remove = async () => {
    await button("Remove the passkey key on my ring").click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
    const dialog = page.getByRole("dialog", { name: "Is it still you?" });
    await dialog.getByLabel("Password or code").waitFor();
    return dialog;
  };
  // Whoever thinks better of it changes nothing.
  await button("Cancel", await remove()).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await keys.getByText("key on my ring").waitFor();
  asked = 0;
  const dialog = await remove();
  await dialog.getByLabel("Password or code").fill("a wrong password of some length");
  await button("Go on", dialog).click();
  await dialog.getByText("is not your password").waitFor();
  await dialog.getByLabel("Password or code").fill(password);
  await button("Go on", dialog).click();
  await page.getByText("The passkey key on my ring is removed.").waitFor();
  expect(asked).toBe(2);
  await page.unroute("**/v1/me/passkeys/*");
  await page.getByText("No passkey yet").waitFor();
  await signOut();
  await signIn(ownerEmail, password);
  await heading("One more step").waitFor();
  expect(await button("Use a passkey").count()).toBe(0);
  await button("Use a recovery code").click();
  await field("Recovery code").fill(codes[2] as string);
  await button("Go on").click();
  await inside();
});

it("lets an invited person in, with the role that was given", async () => {
  await page.goto(`${warder.url}/operators`);
  await button("Invite somebody").click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("E-mail address").fill("ana@example.org");
  await dialog.getByLabel("Role").selectOption("analyst");
  await dialog.locator("button[type=submit]").click();
  const link = (await page.getByRole("dialog").locator("pre").textContent()) ?? "";
  expect(link).toMatch(/\/accept#token=/);
  await button("Done").click();

  const context = await profile();
  const ana = await watched(context, warder.url);
  await ana.goto(warder.url + new URL(link).pathname + new URL(link).hash);
  await heading("Welcome to Warder", ana).waitFor();
  await ana.waitForURL(`${warder.url}/accept`);
  await field("Name", ana).fill("Ana Lyst");
  await field("Password", ana).fill(password);
  await button("Join", ana).click();
  await heading("Profile", ana).waitFor();
  await ana.getByText("You are signed in as ana@example.org.").waitFor();
  await button(/Signed in as Ana Lyst, analyst/, ana).waitFor();
  // What the role does not allow is refused, not only hidden.
  const refused = await context.request.put(`${warder.url}/v1/settings`, {
    headers: { Origin: warder.url },
    data: { contact: "ana" },
  });
  expect(refused.status()).toBe(403);

  const again = await watched(await profile(), warder.url);
  await again.goto(warder.url + new URL(link).pathname + new URL(link).hash);
  await heading("The link does not work", again).waitFor();
  await again.context().close();
  await context.close();
});

it("ends the session of another browser with signing out everywhere", async () => {
  const [here, there] = [
    await watched(await profile(), warder.url),
    await watched(await profile(), warder.url),
  ];
  for (const on of [here, there]) {
    await on.goto(`${warder.url}/sign-in`);
    await signIn("ana@example.org", password, on);
    await inside(on);
  }
  await here.goto(`${warder.url}/me`);
  await button("Sign out everywhere", here).click();
  await here.getByRole("dialog").getByRole("button", { name: "Sign out everywhere" }).click();
  await here.waitForURL(/\/sign-in/);
  await there.getByRole("link", { name: "Blocks", exact: true }).click();
  await there.waitForURL(/\/sign-in/);
  await heading("Sign in", there).waitFor();
  expect((await there.context().request.get(`${warder.url}/v1/me`)).status()).toBe(401);
  // The owner's session is somebody else's.
  await page.goto(warder.url);
  await inside();
  await here.context().close();
  await there.context().close();
});

it("had no violation, no error, no dialog, no request elsewhere", () => {
  expect(nothing()).toEqual([]);
});

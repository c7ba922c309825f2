// What end users see of Warder: the challenge at the gate and at the dashboard's
// own sign-in, and the access-denied page.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { axe, endBrowser, nothing, picture, profile, watched } from "./browser";
import { Captcha } from "./captcha";
import { ownerEmail, password, setUp } from "./owner";
import { freePort, Platform } from "./platform";
import { Warder } from "./warder";

let warder: Warder;
let platform: Platform;
let gate = "";
const dir = mkdtempSync(join(tmpdir(), "warder-challenge-"));

const policy = `
activity:
  enabled: true
  rules:
    - {id: guess, events: [USER_LOGIN_FAILURE], key: ip, threshold: 2, time_range: 3600, cooling_period: 3600, action: challenge}
    - {id: own, events: [ADMIN_LOGIN_FAILURE], key: ip+account, threshold: 2, time_range: 3600, cooling_period: 3600, action: challenge}
`;

beforeAll(async () => {
  platform = await new Platform().start();
  const port = await freePort();
  gate = `http://127.0.0.1:${port}`;
  writeFileSync(join(dir, "policy.yaml"), policy);
  writeFileSync(
    join(dir, "warder.yaml"),
    `policy_file: ${join(dir, "policy.yaml")}
trusted_proxies: [127.0.0.1]
challenge: {difficulty: 16}
sites:
  - {name: www, listen: "127.0.0.1:${port}", upstream: "${platform.url}", profile: sms-platform, brand: Example SMS, contact: help@example.org}
`,
  );
  warder = await new Warder({ WARDER_CONFIG: join(dir, "warder.yaml") }).start();
});
afterAll(async () => {
  await endBrowser();
  platform.stop();
  await warder.end();
  rmSync(dir, { recursive: true, force: true });
});

/** A visitor who comes from an address, by a front proxy that is trusted. */
async function visitor(
  ip: string,
  look: Parameters<typeof profile>[0] = {},
  at = gate,
): Promise<[BrowserContext, Page]> {
  const context = await profile(look);
  await context.setExtraHTTPHeaders({ "X-Forwarded-For": ip });
  return [context, await watched(context, at)];
}

async function signIn(page: Page, secret: string) {
  await page.getByLabel("User name").fill("alice");
  await page.getByLabel("Password").fill(secret);
  await page.getByRole("button", { name: "Sign in" }).click();
}

const heading = (page: Page, name: string | RegExp) => page.getByRole("heading", { name, level: 1 });

/** Two wrong passwords, after which the address is challenged. */
async function annoy(page: Page, at = gate) {
  await page.goto(`${at}/login`);
  for (const guess of ["one", "two"]) {
    await signIn(page, guess);
    await page.getByText("Wrong user name or password.").waitFor();
  }
}

it("meets the challenge with a form in hand, which solves itself, and signs in", async () => {
  const [context, page] = await visitor("203.0.113.7");
  await annoy(page);
  const before = platform.checked;
  await signIn(page, "right");
  // The form has to be entered again, and the page says so.
  await heading(page, "Thank you, that was it").waitFor();
  await page.getByText("What you entered was not checked and not kept.").waitFor();
  expect(platform.checked).toBe(before);
  const back = page.getByRole("link", { name: "Continue" });
  expect(await back.evaluate((e) => e === document.activeElement)).toBe(true);
  expect(await context.storageState()).toMatchObject({ origins: [] });
  await page.keyboard.press("Enter");
  await heading(page, "Sign in").waitFor();
  expect(page.url()).toBe(`${gate}/login`);
  await signIn(page, "right");
  await heading(page, "Hello alice").waitFor();
  const cookie = (await context.cookies()).find((c) => c.name === "warder_clearance");
  expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Lax", path: "/" });
  expect(platform.cookies.join()).not.toContain("warder_clearance");
  expect(nothing()).toEqual([]);
  await context.close();
});

it("meets the challenge before the form, and comes to the form by itself", async () => {
  const [context, page] = await visitor("203.0.113.8");
  await annoy(page);
  await page.goto(`${gate}/login?next=%2Fhome`);
  await heading(page, "Sign in").waitFor();
  expect(page.url()).toBe(`${gate}/login?next=%2Fhome`);
  await signIn(page, "right");
  await heading(page, "Hello alice").waitFor();
  expect(nothing()).toEqual([]);
  await context.close();
});

it("does not challenge a visitor from another address", async () => {
  const [context, page] = await visitor("198.51.100.1");
  await page.goto(`${gate}/login`);
  await heading(page, "Sign in").waitFor();
  await signIn(page, "right");
  await heading(page, "Hello alice").waitFor();
  expect(await context.cookies()).not.toContainEqual(expect.objectContaining({ name: "warder_clearance" }));
  await context.close();
});

it("solves the challenge where there are no workers", async () => {
  const [context, page] = await visitor("203.0.113.9");
  await page.addInitScript(() => {
    Object.defineProperty(window, "Worker", { value: undefined });
  });
  await annoy(page);
  await page.goto(`${gate}/login`);
  await heading(page, "Sign in").waitFor();
  expect(nothing()).toEqual([]);
  await context.close();
});

it("tells people without JavaScript what is needed", async () => {
  const [context, page] = await visitor("203.0.113.10");
  await annoy(page);
  const plain = await (context.browser() as NonNullable<ReturnType<BrowserContext["browser"]>>).newContext({
    javaScriptEnabled: false,
    extraHTTPHeaders: { "X-Forwarded-For": "203.0.113.10" },
  });
  const theirs = await plain.newPage();
  await theirs.goto(`${gate}/login`);
  expect(await theirs.locator("noscript").textContent()).toContain("This check needs JavaScript.");
  expect(await theirs.getByRole("progressbar").count()).toBe(0);
  await plain.close();
  await context.close();
});

it("says what is wrong when the connection is lost, and can be tried again", async () => {
  const [context, page] = await visitor("203.0.113.11");
  await annoy(page);
  await context.route("**/.warder/challenge", (route) =>
    route.request().method() === "POST" ? route.abort() : route.continue(),
  );
  await page.goto(`${gate}/login`);
  await page.getByRole("alert").getByText("The connection was lost.").waitFor();
  await context.unroute("**/.warder/challenge");
  await page.getByRole("button", { name: "Try again" }).click();
  await heading(page, "Sign in").waitFor();
  await context.close();
  nothing(); // the request that was cut off
});

const looks = [
  { scheme: "light", width: 1440, height: 900 },
  { scheme: "dark", width: 1440, height: 900 },
  { scheme: "light", width: 390, height: 844 },
  { scheme: "dark", width: 390, height: 844 },
] as const;

it("has nothing serious on its pages, light and dark, wide and narrow", { timeout: 120_000 }, async () => {
  const [first, page] = await visitor("203.0.113.12");
  await annoy(page);
  await first.close();
  await warder.call("POST", "/v1/events", {
    name: "USER_LOGIN_FAILURE",
    ip: "203.0.113.12",
    account: "alice",
  });
  const { reference } = await block("203.0.113.13");
  const found: string[] = [];
  for (const look of looks) {
    const name = `${look.scheme}-${look.width}`;
    const show = async (page: Page, what: string) => {
      found.push(...(await axe(page)));
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      if (wide > 0) found.push(`${what} is ${wide} pixels wider than the window`);
      await picture(page, `${what}-${name}`);
    };
    const [slow, working] = await visitor("203.0.113.12", look);
    await slow.route("**/.warder/challenge", () => undefined); // the answer never comes
    await working.goto(`${gate}/login`);
    await working.getByText("The answer is being checked.").waitFor();
    await show(working, "challenge-working");
    await slow.close();

    const [context, page] = await visitor("203.0.113.12", look);
    await context.route("**/.warder/challenge", (route) => route.abort());
    await page.goto(`${gate}/login`);
    await page.getByRole("button", { name: "Try again" }).waitFor();
    await show(page, "challenge-failed");
    await page.goto(`${gate}/.warder/challenge?t=nonsense`);
    await page.getByText("This link is not valid.").waitFor();
    await show(page, "challenge-invalid");
    await context.close();

    const [blocked, denied] = await visitor("203.0.113.13", look);
    await denied.goto(`${gate}/anything`);
    await denied.getByText(reference).waitFor();
    await show(denied, "denied");
    await blocked.close();

    const [posting, form] = await visitor(`203.0.113.${20 + looks.indexOf(look)}`, look);
    await annoy(form);
    await signIn(form, "right");
    await form.getByRole("link", { name: "Continue" }).waitFor();
    await show(form, "challenge-done");
    await posting.close();
  }
  nothing(); // requests that were cut off
  expect(found).toEqual([]);
});

/** Blocks an address by hand. */
async function block(ip: string): Promise<{ reference: string }> {
  return JSON.parse(warder.cli(["block", ip, "--json"]));
}

it("does a second of work at the dashboard's own sign-in", async () => {
  const context = await profile();
  await setUp(warder, context);
  await context.clearCookies();
  const page = await watched(context, warder.url);
  const sent: string[] = [];
  page.on("request", (r) => {
    if (r.method() === "POST" && r.url().endsWith("/v1/session")) sent.push(r.postData() ?? "");
  });
  await page.goto(warder.url);
  const field = (name: string) => page.getByLabel(name, { exact: true });
  const submit = async (secret: string) => {
    await field("E-mail address").fill(ownerEmail);
    await field("Password").fill(secret);
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
  };
  for (const guess of ["a wrong password, one", "a wrong password, two"]) {
    const answered = page.waitForResponse(
      (r) => r.url().endsWith("/v1/session") && r.request().method() === "POST",
    );
    await submit(guess);
    expect((await answered).status()).toBe(401);
    await page.getByRole("alert").waitFor();
  }
  sent.length = 0;
  await submit(password);
  await page.getByRole("heading", { name: "Security events", level: 1 }).waitFor();
  // Refused once, with a challenge; then sent again with its solution.
  expect(sent.map((body) => JSON.parse(body).clearance?.startsWith("w1."))).toEqual([undefined, true]);
  expect(nothing()).toEqual([]);
  await context.close();
});

it("shows the widget of a CAPTCHA service, and the proof of work where that is gone", async () => {
  const captcha = await new Captcha().start();
  const port = await freePort();
  const www = `http://127.0.0.1:${port}`;
  writeFileSync(
    join(dir, "captcha.yaml"),
    `policy_file: ${join(dir, "policy.yaml")}
trusted_proxies: [127.0.0.1]
outbound: {allow_private: [127.0.0.0/8]}
challenge: {provider: turnstile, site_key: site-key, secret: the-secret, server: "${captcha.url}", difficulty: 12}
sites: [{name: www, listen: "127.0.0.1:${port}", upstream: "${platform.url}", profile: sms-platform}]
`,
  );
  const other = await new Warder({ WARDER_CONFIG: join(dir, "captcha.yaml") }).start();
  const service = new URL(captcha.url).host;
  const elsewhere = () => nothing().filter((fault) => fault !== `request to ${service}`);
  try {
    const [context, page] = await visitor("203.0.113.40", { scheme: "dark" }, www);
    await annoy(page, www);
    await page.goto(`${www}/login`);
    await page.getByText("Please answer the question above.").waitFor();
    await picture(page, "challenge-widget-dark-1440");
    expect(await axe(page)).toEqual([]);
    await page.getByRole("button", { name: "I am human (site-key, dark)" }).click();
    await heading(page, "Sign in").waitFor();
    expect(captcha.verified.map((form) => form.get("remoteip"))).toEqual(["203.0.113.40"]);
    await signIn(page, "right");
    await heading(page, "Hello alice").waitFor();
    expect(elsewhere()).toEqual([]);
    await context.close();

    captcha.stop();
    const [second, theirs] = await visitor("203.0.113.41", {}, www);
    await annoy(theirs, www);
    await theirs.goto(`${www}/login`);
    await heading(theirs, "Sign in").waitFor();
    await signIn(theirs, "right");
    await heading(theirs, "Hello alice").waitFor();
    expect(elsewhere().filter((fault) => !fault.startsWith("page error"))).toEqual([]);
    await second.close();
    const ready = await (await fetch(`${other.url}/readyz`)).text();
    expect(ready).toContain("captcha_unreachable");
  } finally {
    captcha.stop();
    await other.end();
  }
});

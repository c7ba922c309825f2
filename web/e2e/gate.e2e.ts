// The sample platform behind the gate, as its visitors see it: an attacker, a
// victim in the same network, somebody elsewhere, and the administrator.
import { request } from "node:http";
import type { BrowserContext, Page, WebSocket } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { axe, endBrowser, type Look, nothing, picture, profile, watched } from "./browser";
import { Demo } from "./demo";
import { MailServer } from "./smtp";

let demo: Demo;
let mail: MailServer;
let reference = "";

// Everything a browser and a curious person may ask for.
const paths = [
  ...["/", "/login", "/admin/login", "/forgot", "/reset", "/register", "/messages", "/account", "/events"],
  ...[
    "/live",
    "/admin/",
    "/admin/users",
    "/admin/gateways",
    "/admin/none",
    "/logout",
    "/nothing",
    "/favicon.ico",
  ],
  ...["/assets/style.css", "/assets/app.js", "/assets/logo.svg", "/assets/prices.csv", "/assets/none.png"],
  ...[
    "//admin/",
    "/%61dmin/",
    "/admin;x/",
    "/assets/../admin/",
    "/LOGIN",
    "/login/",
    "/login?a=b",
    "/robots.txt",
  ],
];

beforeAll(async () => {
  mail = await new MailServer().start();
  demo = await new Demo().start(`127.0.0.1:${mail.port}`);
});
afterAll(async () => {
  await endBrowser();
  mail.stop();
  await demo.end();
});

/** A browser of its own that has signed in at a place, and its live reports. */
async function visitor(place: string, name: string, password: string) {
  const context = await profile();
  const page = await watched(context, place);
  await page.goto(`${place}/login`);
  await page.getByLabel("User name").fill(name);
  await page.getByLabel("Password").fill(password);
  const [socket] = await Promise.all([
    page.waitForEvent("websocket"),
    page.getByRole("button", { name: "Sign in" }).click(),
  ]);
  await page.getByText("live", { exact: true }).waitFor();
  return { context, page, socket };
}

const denied = (page: Page) => page.getByRole("heading", { name: "Access denied" });
const closed = (socket: WebSocket) => (socket.isClosed() ? Promise.resolve() : socket.waitForEvent("close"));

/** Sends a request as it is written, which browsers and fetch do not. */
const ask = (base: string, path: string, headers: Record<string, string>) =>
  new Promise<{ status?: number; text: string }>((resolve, reject) => {
    const { hostname, port } = new URL(base);
    const sent = request({ hostname, port, path, headers, agent: false }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (part) => {
        text += part;
      });
      answer.on("end", () => resolve({ status: answer.statusCode, text }));
    });
    sent.on("upgrade", (answer, socket) => {
      socket.destroy();
      resolve({ status: answer.statusCode, text: "" });
    });
    sent.on("error", reject);
    sent.end();
  });

/** The owner, signed in to the dashboard. */
async function owner(): Promise<{ context: BrowserContext; page: Page }> {
  const context = await profile();
  const answer = await context.request.post(`${demo.dashboard}/v1/session`, {
    headers: { Origin: demo.dashboard },
    data: demo.owner,
  });
  expect(answer.status()).toBe(200);
  return { context, page: await watched(context, demo.dashboard) };
}

it("shows pages without serious findings, in light and dark, on a phone and a screen", async () => {
  const found: string[] = [];
  const looks: Look[] = [
    { width: 1440 },
    { width: 390 },
    { scheme: "dark", width: 1440 },
    { scheme: "dark", width: 390 },
  ];
  for (const look of looks) {
    const context = await profile(look);
    const see = async (page: Page, path: string) => {
      await page.goto(path);
      await page.getByRole("heading", { level: 1 }).waitFor();
      found.push(...(await axe(page)));
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      if (wide > (look.width ?? 0)) found.push(`${path} is ${wide} wide`);
    };
    await see(await watched(context, demo.front), demo.front);
    const page = await watched(context, demo.place.home);
    for (const path of ["/login", "/forgot", "/reset", "/register"]) await see(page, demo.place.home + path);
    await page.goto(`${demo.place.home}/login`);
    await page.getByLabel("User name").fill("alice");
    await page.getByLabel("Password").fill("river-lantern-42");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL("**/messages");
    for (const path of ["/messages", "/account", "/nothing"]) await see(page, demo.place.home + path);
    await page.goto(`${demo.place.home}/admin/login`);
    await page.getByLabel("User name").fill("root");
    await page.getByLabel("Password").fill("harbor-juniper-88");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL("**/admin/");
    for (const path of ["/admin/", "/admin/users", "/admin/gateways"])
      await see(page, demo.place.home + path);
    await context.close();
  }
  expect(found).toEqual([]);
  expect(nothing()).toEqual([]);
}, 180_000);

it("blocks who guesses, ends the sessions there and nowhere else, tells the administrator", async () => {
  const { attacker, home } = demo.place;
  const victim = await visitor(attacker, "alice", "river-lantern-42");
  const elsewhere = await visitor(home, "bob", "copper-falcon-17");
  const stolen = (await victim.context.cookies()).find((c) => c.name.endsWith("sms_session"))?.value ?? "";
  expect(stolen).not.toBe("");

  // Five wrong passwords for the administration.
  const guessing = await profile();
  const page = await watched(guessing, attacker);
  await page.goto(`${attacker}/admin/login`);
  for (let i = 1; i <= 5; i++) {
    await page.getByLabel("User name").fill("root");
    await page.getByLabel("Password").fill(`guess ${i}`);
    await page.getByRole("button", { name: "Sign in" }).click();
    if (i < 5) await page.getByText("Wrong user name or password.").waitFor();
  }
  await denied(page).waitFor();
  reference = (await page.locator(".reference").textContent()) ?? "";
  expect(reference).toMatch(/^[0-9A-Z]{4}-[0-9A-Z]{4}$/);
  await page.getByText("support@example.org").waitFor();

  // The victim's other tab: its WebSocket closes, its next request signs out.
  await closed(victim.socket);
  await victim.page.getByText("connection lost").waitFor();
  const next = await victim.page.goto(`${attacker}/account`);
  expect(next?.status()).toBe(403);
  await denied(victim.page).waitFor();
  expect((await victim.context.cookies()).filter((c) => c.name.endsWith("sms_session"))).toEqual([]);
  // The session is dead, not only refused there.
  const thief = await profile();
  await thief.addCookies([{ name: "home.sms_session", value: stolen, url: home }]);
  const tried = await watched(thief, home);
  await tried.goto(`${home}/messages`);
  expect(new URL(tried.url()).pathname).toBe("/login");

  // Every path, asset and WebSocket, by every kind of client.
  expect(paths.length).toBeGreaterThanOrEqual(30);
  const kinds: Record<string, string>[] = [
    {},
    { Accept: "application/json" },
    { Connection: "Upgrade", Upgrade: "websocket" },
  ];
  const passed: string[] = [];
  for (const path of paths) {
    for (const headers of kinds) {
      const answer = await ask(attacker, path, headers);
      if (answer.status !== 403 || !answer.text.includes(reference)) passed.push(`${path}: ${answer.status}`);
    }
  }
  expect(passed).toEqual([]);

  // Elsewhere nothing has changed.
  expect(elsewhere.socket.isClosed()).toBe(false);
  await elsewhere.page.getByLabel("To").fill("+44 7700 900123");
  await elsewhere.page.getByLabel("Text").fill("all is well here");
  await elsewhere.page.getByRole("button", { name: "Send" }).click();
  const sent = elsewhere.page.locator("article").filter({ hasText: "all is well here" });
  await sent.getByText("delivered", { exact: true }).waitFor();

  // The mail, in a real mail server.
  await expect.poll(() => mail.mails.length, { timeout: 20_000 }).toBeGreaterThanOrEqual(1);
  const told = mail.mails[0];
  expect(told?.to).toEqual([demo.owner.email]);
  expect(told?.text).toContain("203.0.113.66");
  expect(told?.text).toContain(reference);

  // The administrator finds what the refused person reads out.
  const { page: dashboard } = await owner();
  await dashboard.goto(demo.dashboard);
  await dashboard.getByRole("heading", { name: "Security events" }).waitFor();
  await dashboard.keyboard.press("/");
  await dashboard.getByRole("textbox", { name: "Search", exact: true }).fill(reference.toLowerCase());
  await dashboard.getByText(reference, { exact: false }).first().click();
  await dashboard.waitForURL(/\/(references|blocks)/);
  await dashboard.getByText("203.0.113.66").first().waitFor();
  expect(nothing()).toEqual([]);
});

it("shows the access-denied page in light and dark, on a phone and a screen", async () => {
  const found: string[] = [];
  for (const scheme of ["light", "dark"] as const) {
    for (const width of [1440, 390]) {
      const context = await profile({ scheme, width });
      const page = await watched(context, demo.place.attacker);
      await page.goto(`${demo.place.attacker}/messages`);
      await denied(page).waitFor();
      await picture(page, `denied-demo-${scheme}-${width}`);
      found.push(...(await axe(page)));
      if ((await page.evaluate(() => document.documentElement.scrollWidth)) > width)
        found.push(`wider than ${width}`);
      await context.close();
    }
  }
  expect(found).toEqual([]);
  expect(nothing()).toEqual([]);
});

it("lets in again when the block is lifted, and ends a session that was stolen", async () => {
  const context = await profile();
  const front = await watched(context, demo.front);
  await front.goto(demo.front);
  await front.getByText(`refused, reference ${reference}`).waitFor();
  demo.unblock("203.0.113.66");
  await front.locator("#attacker").getByText("let in").waitFor();
  expect(nothing()).toEqual([]);

  const page = await context.newPage();
  await page.goto(`${demo.place.home}/login`);
  await page.getByLabel("User name").fill("alice");
  await page.getByLabel("Password").fill("river-lantern-42");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("live", { exact: true }).waitFor();
  await front.getByRole("button", { name: "take it to the attacker" }).click();
  await front.waitForURL(/\/(messages|login)$/);
  nothing(); // the front page leads to the place, which is another host
  // Both ends are signed out; the owner's address is not blocked.
  for (const tab of [front, page]) {
    await expect
      .poll(async () => {
        await tab.goto(`${tab === front ? demo.place.attacker : demo.place.home}/account`);
        return new URL(tab.url()).pathname;
      })
      .toBe("/login");
  }
  const { context: administrator } = await owner();
  const events = await (await administrator.request.get(`${demo.dashboard}/v1/events?limit=50`)).json();
  const names = events.items.map((e: { name: string }) => e.name);
  expect(names).toContain("SESSION_HIJACK_SUSPECTED");
  expect(names).toContain("SESSION_TERMINATED");
});

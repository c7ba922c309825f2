// What stands before applications: the page says what happened at the gate.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { axe, endBrowser, nothing, picture, profile, watched } from "./browser";
import { setUp } from "./owner";
import { Warder } from "./warder";

let warder: Warder;
let context: BrowserContext;
let page: Page;
let shop: Server;
let legacy: Server;

/** An application with a form at /login; the broken one answers nothing of use. */
async function application(works: boolean): Promise<Server> {
  const server = createServer((request, answer) => {
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      if (request.method !== "POST") return answer.end("<form method=post>");
      if (!works) return answer.writeHead(500).end();
      if (!body.includes("password=right")) return answer.writeHead(401).end("wrong");
      answer.writeHead(303, { Location: "/home", "Set-Cookie": "session=s1; HttpOnly" }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}
const at = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

const gates: Record<string, string> = {};
const send = (site: string, path: string, from: string, body?: string) =>
  fetch(gates[site] + path, {
    method: body === undefined ? "GET" : "POST",
    body,
    redirect: "manual",
    headers: {
      "X-Forwarded-For": from,
      ...(body !== undefined && { "Content-Type": "application/x-www-form-urlencoded" }),
    },
  });

beforeAll(async () => {
  shop = await application(true);
  legacy = await application(false);
  const site = (name: string, upstream: string, profile: string) =>
    `  - {name: ${name}, listen: "127.0.0.1:0", upstream: "${upstream}", profile: ${profile}}\n`;
  warder = await new Warder(
    {},
    `trusted_proxies: [127.0.0.1]\nsites:\n${site("shop", at(shop), "generic-form")}${site("wiki", at(legacy), "gitea")}`,
  ).start();
  context = await profile();
  await setUp(warder, context);
  page = await watched(context, warder.url);
  for (const s of (await warder.call("GET", "/v1/sites")).items) gates[s.name] = `http://${s.listen}`;
});
afterAll(async () => {
  await endBrowser();
  for (const server of [shop, legacy]) {
    server.closeAllConnections();
    server.close();
  }
  await warder.end();
});

const panel = (name: string) =>
  page.locator("section").filter({ has: page.getByRole("heading", { name: new RegExp(`^${name}`) }) });
const fact = (site: string, name: string) =>
  panel(site)
    .locator("dt", { hasText: new RegExp(`^${name}$`) })
    .locator("xpath=following-sibling::dd");

it("waits for the first sign-in, and says what to do", async () => {
  await page.goto(`${warder.url}/`);
  await page.getByRole("link", { name: "Sites", exact: true }).click();
  await panel("shop").getByText("waiting for the first sign-in").waitFor();
  await panel("shop")
    .getByText(/with a wrong password and with the right one/)
    .waitFor();
  await panel("wiki").getByText("unverified", { exact: true }).waitFor();
});

it("shows what happened: sign-ins, outcomes, refusals, what the profile recognised", async () => {
  await send("shop", "/login", "203.0.113.5");
  await send("shop", "/login", "203.0.113.5", "username=ann&password=right");
  for (let i = 0; i < 5; i++) await send("shop", "/login", "203.0.113.6", `username=ann&password=no${i}`);
  expect((await send("shop", "/", "203.0.113.6")).status).toBe(403);
  await panel("shop").getByText("guarding").waitFor();
  for (const [name, value] of [
    ["Requests", "8"],
    ["Refused", "2"], // the fifth wrong password, and the page after it
    ["Sign-ins", "6"],
    ["Succeeded", "1"],
    ["Failed", "5"],
    ["Without outcome", "0"],
  ] as const) {
    await expect.poll(() => fact("shop", name).textContent(), { timeout: 10_000 }).toBe(value);
  }
  const recognised = page.getByRole("table", { name: "What the profile of shop recognised" });
  expect(await recognised.getByRole("row").filter({ hasText: "Sign-in" }).first().textContent()).toMatch(
    /7$/,
  );
});

it("turns amber where sign-ins have no outcome, and explains the remedy", async () => {
  for (let i = 0; i < 5; i++)
    await send("wiki", "/user/login", `203.0.113.${20 + i}`, "user_name=a&password=b");
  await panel("wiki").getByText("sees no outcome").waitFor();
  await panel("wiki")
    .getByText(/compare them with profile gitea/)
    .waitFor();
});

it("lists who only enforces, with whether outcomes are reported", async () => {
  for (let i = 0; i < 3; i++) {
    await fetch(`${warder.url}/authz/forward`, {
      headers: { "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/" },
    });
  }
  const table = page.getByRole("table", { name: "who asks forward auth" });
  const row = table.getByRole("row").filter({ hasText: "trusted proxy" });
  await row.getByText("waiting for the first sign-in").waitFor();
  await warder.attack("203.0.113.40", 1);
  await row.getByText("outcomes are reported").waitFor();
  await row.getByText("by first").waitFor();
});

it("leads to the events of a site", async () => {
  await panel("shop").getByRole("link", { name: "Events of this site" }).click();
  await page.waitForURL(/app=gate(:|%3A)shop/);
  await page.getByText("USER_LOGIN_SUCCESS").first().waitFor();
  expect(await page.getByText("203.0.113.40").count()).toBe(0);
});

it("shows when the application does not answer", async () => {
  await page.goto(`${warder.url}/sites`);
  legacy.closeAllConnections();
  await new Promise((resolve) => legacy.close(resolve));
  expect((await send("wiki", "/", "203.0.113.5")).status).toBe(502);
  await panel("wiki").getByText("application does not answer", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Guard another application" }).click();
  await page.getByText("warder gate --upstream").waitFor();
});

it("looks right in light and dark, wide and narrow", async () => {
  const found: string[] = [];
  for (const scheme of ["light", "dark"] as const) {
    for (const width of [1440, 390]) {
      const theirs = await profile({ scheme, width });
      await theirs.addCookies(await context.cookies());
      const one = await watched(theirs, warder.url);
      await one.goto(`${warder.url}/sites`);
      await one.getByRole("table", { name: "who asks forward auth" }).waitFor();
      if (process.env.PICTURES) await picture(one, `sites-used-${scheme}-${width}`);
      found.push(...(await axe(one)));
      const wide = await one.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      if (wide > 0) found.push(`${wide} pixels wider than the window`);
      await theirs.close();
    }
  }
  expect(found).toEqual([]);
});

it("had no violation, no error, no dialog, no request elsewhere", () => {
  expect(nothing()).toEqual([]);
});

// Every page, with hostile texts in every field of every list: nothing runs,
// axe finds nothing serious in light and dark, and there is a picture of each.
import type { BrowserContext } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { axe, endBrowser, nothing, picture, profile, watched } from "./browser";
import { invite, setUp } from "./owner";
import { payloads } from "./payloads";
import { seed } from "./seed";
import { Warder } from "./warder";

let warder: Warder;
let first: BrowserContext;

const hostile = encodeURIComponent(payloads[0] as string);
const paths = [
  "/",
  "/events",
  "/addresses",
  "/addresses/203.0.113.201",
  "/accounts",
  "/accounts/admin?realm=admin",
  `/accounts/${hostile}?realm=user`,
  "/sessions",
  "/blocks",
  "/blocks?state=all",
  "/demands",
  "/trusted",
  "/tracking",
  "/sites",
  "/policy",
  "/providers",
  "/notifications",
  "/applications",
  "/operators",
  "/settings",
  "/audit",
  "/reports",
  "/me",
  "/start",
];
const looks = [
  { scheme: "light", width: 1440 },
  { scheme: "dark", width: 1440 },
  { scheme: "light", width: 390 },
  { scheme: "dark", width: 390 },
] as const;

beforeAll(async () => {
  warder = await new Warder().start();
  await seed(warder);
  first = await profile();
  await setUp(warder, first);
});
afterAll(async () => {
  await endBrowser();
  await warder.end();
});

describe.each(looks)("in $scheme at $width pixels", (look) => {
  it("has nothing serious on any page", { timeout: 240_000 }, async () => {
    const context = await profile(look);
    await context.addCookies(await first.cookies());
    const page = await watched(context, warder.url);
    const found: string[] = [];
    for (const path of paths) {
      await page.goto(warder.url + path);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page.waitForFunction(() => document.querySelector("[role=status][aria-label^=Loading]") === null);
      const name = path.replace(/[^a-z0-9]+/gi, "-").replace(/^-|-$/g, "") || "overview";
      if (process.env.PICTURES) await picture(page, `${name}-${look.scheme}-${look.width}`);
      if (look.width > 400) found.push(...(await axe(page)));
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      if (wide > 0) found.push(`${path} is ${wide} pixels wider than the window`);
    }
    await context.close();
    expect(found).toEqual([]);
    expect(nothing()).toEqual([]);
  });
});

it("offers a viewer nothing that a viewer may not do", async () => {
  const theirs = await profile();
  await invite(warder, first, theirs, "viewer");
  const page = await watched(theirs, warder.url);
  for (const path of ["/", "/blocks", "/addresses/203.0.113.201", "/tracking", "/policy", "/sessions"]) {
    await page.goto(warder.url + path);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.waitForFunction(() => document.querySelector("[role=status][aria-label^=Loading]") === null);
    const acts = page.getByRole("button", { name: /^(Block|Unblock|End|Save|Trust|Revoke)\b/ });
    for (const act of await acts.all()) {
      expect(await act.isDisabled(), `${path}: ${await act.textContent()}`).toBe(true);
    }
  }
  const refused = await theirs.request.post(`${warder.url}/v1/blocks`, {
    headers: { Origin: warder.url, "Content-Type": "application/json" },
    data: JSON.stringify({ ip: "203.0.113.77", reason: "no", duration: 0 }),
  });
  expect(refused.status()).toBe(403);
});

it("keeps all sixty hostile texts texts, wherever they show", { timeout: 120_000 }, async () => {
  const page = await watched(first, warder.url);
  await page.goto(`${warder.url}/events?limit=100&ip=198.51.100.0/24`);
  for (const [i, text] of payloads.entries()) {
    const { items } = await warder.call("GET", `/v1/events?ip=198.51.100.${1 + i}&limit=1`);
    // Within the page, as a link would: a load for each takes a minute.
    await page.evaluate((id) => history.pushState(null, "", `/events?event=${id}`), items[0].id);
    await page.getByRole("dialog").getByText(items[0].id, { exact: true }).first().waitFor();
    const shown = (await page.getByRole("dialog").textContent()) ?? "";
    expect(shown.normalize("NFC")).toContain(text.normalize("NFC"));
    expect(await page.title()).toContain("Warder");
  }
  expect(nothing()).toEqual([]);
});

it("left no report about the content security policy at Warder", async () => {
  const metrics = await (await fetch(`${warder.url}/metrics`)).text();
  expect(metrics).toMatch(/^warder_csp_reports_total 0$/m);
});

// Security events, as an administrator sees them.
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { endBrowser, nothing, profile, watched } from "./browser";
import { setUp } from "./owner";
import { seed } from "./seed";
import { Warder } from "./warder";

let warder: Warder;
let context: BrowserContext;
let page: Page;
const severities = ["info", "warning", "high", "critical"] as const;
type Bucket = { time: string } & Record<(typeof severities)[number], number>;

beforeAll(async () => {
  warder = await new Warder().start();
  await seed(warder);
  context = await profile();
  await setUp(warder, context);
  page = await watched(context, warder.url);
});
afterAll(async () => {
  await endBrowser();
  await warder.end();
});

/** Opens the first page and returns what the API answered for its chart. */
async function open(path = "/"): Promise<Bucket[]> {
  await page.goto("about:blank"); // what the page before still asks for is no answer
  const [answer] = await Promise.all([
    page.waitForResponse((r) => r.url().includes("/v1/stats/trend")),
    page.goto(warder.url + path),
  ]);
  await page.locator("[data-chart=trend] [data-series]").first().waitFor();
  return (await answer.json()).buckets;
}

const tip = async () =>
  Object.fromEntries(
    await Promise.all(
      severities.map(async (s) => {
        const text = await page.locator(`[data-tip] [data-value=${s}]`).textContent();
        return [s, Number((text ?? "").replaceAll(",", ""))] as const;
      }),
    ),
  );
const counts = (b: Bucket | undefined) => Object.fromEntries(severities.map((s) => [s, b?.[s]]));

it("shows exact counts of every day, by keyboard and on hover", async () => {
  const buckets = await open();
  expect(buckets).toHaveLength(30);
  const chart = page.locator("[data-chart=trend]");
  await chart.focus();
  await page.keyboard.press("Home");
  for (let i = 0; i < buckets.length; i++) {
    expect(await tip(), buckets[i]?.time).toEqual(counts(buckets[i]));
    expect(await chart.getAttribute("aria-valuetext")).toContain(`${buckets[i]?.critical} critical`);
    await page.keyboard.press("ArrowRight");
  }
  await page.keyboard.press("Escape");
  const box = await chart.boundingBox();
  if (!box) throw new Error("the chart has no size");
  await page.mouse.move(box.x + box.width - 18, box.y + box.height / 2);
  expect(await tip()).toEqual(counts(buckets.at(-1)));
  await page.mouse.move(box.x + 48, box.y + box.height / 2);
  expect(await tip()).toEqual(counts(buckets[0]));
  // Days begin at midnight where the browser is (Kolkata, half past six in UTC the day before).
  expect(buckets[1]?.time).toMatch(/T18:30:00Z/);
});

it("zooms by dragging, and a reload shows the same", async () => {
  await open();
  const box = await page.locator("[data-chart=trend]").boundingBox();
  if (!box) throw new Error("the chart has no size");
  const y = box.y + box.height / 2;
  await page.mouse.move(box.x + box.width * 0.5, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, y, { steps: 4 });
  await page.mouse.move(box.x + box.width * 0.7, y, { steps: 4 });
  await page.mouse.up();
  await page.waitForURL(/range=.*\.\./);
  const url = page.url();
  const [answer] = await Promise.all([
    page.waitForResponse((r) => r.url().includes("/v1/stats/trend")),
    page.reload(),
  ]);
  expect(page.url()).toBe(url);
  const [from, to] = decodeURIComponent(/range=([^&]+)/.exec(url)?.[1] ?? "").split("..");
  const asked = new URL(answer.url()).searchParams;
  expect(new Date(asked.get("from") ?? "")).toEqual(new Date(from ?? ""));
  expect(new Date(asked.get("to") ?? "")).toEqual(new Date(to ?? ""));
});

it("filters ring, trend, table and URL together from the legend", async () => {
  await open();
  const entry = page.locator('[data-legend="USER_LOGIN_FAILURE"]');
  expect(await entry.getAttribute("aria-pressed")).toBe("true");
  await page.locator('[data-slice="USER_LOGIN_FAILURE"]').waitFor();
  const [answer] = await Promise.all([
    page.waitForResponse((r) => r.url().includes("/v1/stats/trend") && r.url().includes("not_name")),
    entry.click(),
  ]);
  await page.waitForURL(/not_name=USER_LOGIN_FAILURE/);
  expect(await entry.getAttribute("aria-pressed")).toBe("false");
  expect(await page.locator('[data-slice="USER_LOGIN_FAILURE"]').count()).toBe(0);
  const shown = await page.getByRole("table", { name: "Recent events" }).textContent();
  expect(shown).not.toContain("USER_LOGIN_FAILURE");
  const buckets: Bucket[] = (await answer.json()).buckets;
  const direct = await warder.call("GET", `/v1/stats/trend${new URL(answer.url()).search}`);
  expect(buckets.map(counts)).toEqual(direct.buckets.map(counts));
  await page.reload();
  await page.waitForSelector('[data-legend="USER_LOGIN_FAILURE"][aria-pressed=false]');
});

it("opens the menu of a value by keyboard, first and again, and gives the focus back", async () => {
  await open();
  const button = page
    .getByRole("table", { name: "Recent events" })
    .getByRole("button", { name: /^Filter by / })
    .first();
  const value = ((await button.getAttribute("aria-label")) ?? "").slice("Filter by ".length);
  const entry = page.getByRole("menuitem", { name: "Only this" });
  expect(await button.getAttribute("aria-expanded")).toBe("false");
  await button.focus();
  for (let i = 0; i < 2; i++) {
    await page.keyboard.press("Enter");
    await entry.waitFor();
    expect(await button.getAttribute("aria-expanded")).toBe("true");
    await page.keyboard.press("Escape");
    await entry.waitFor({ state: "detached" });
    await page.waitForFunction((b) => document.activeElement === b, await button.elementHandle());
  }
  await page.keyboard.press("Enter");
  await entry.click();
  await page.waitForURL((url) => url.searchParams.get("name") === value);
});

it("blocks a top attacker with one click, and takes it back within ten seconds", async () => {
  await open();
  const table = page.getByRole("table", { name: "Top attacking addresses" });
  const button = table.getByRole("button", { name: /^Block .* for good$/ }).first();
  const ip = /^Block (.*) for good$/.exec((await button.getAttribute("aria-label")) ?? "")?.[1] as string;
  await button.click();
  await page.getByText(`${ip} is blocked until lifted`).waitFor();
  const state = async () => (await warder.call("POST", "/v1/check", { ip: ip.replace("/64", "") })).action;
  expect(await state()).toBe("block");
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByText(`${ip} is not blocked any more`).waitFor();
  expect(await state()).toBe("allow");
});

it("shows what arrives without moving a row", async () => {
  await open();
  const rows = page.getByRole("table", { name: "Recent events" }).locator("[data-row]");
  await rows.first().hover();
  const before = await rows.evaluateAll((all) => all.map((r) => r.getAttribute("data-row")));
  await warder.attack("203.0.113.250");
  const button = page.getByRole("button", { name: /new event/ });
  await button.waitFor();
  expect(await rows.evaluateAll((all) => all.map((r) => r.getAttribute("data-row")))).toEqual(before);
  await button.click();
  await page.getByRole("table", { name: "Recent events" }).getByText("203.0.113.250").first().waitFor();
});

it("tells the counts of a day at the first touch, and opens it at the second", async () => {
  const phone = await profile({ width: 390, touch: true });
  await phone.addCookies(await context.cookies());
  const theirs = await watched(phone, warder.url);
  await theirs.goto(warder.url);
  const chart = theirs.locator("[data-chart=trend]");
  await chart.locator("[data-series]").first().waitFor();
  await chart.scrollIntoViewIfNeeded();
  const box = await chart.boundingBox();
  if (!box) throw new Error("the chart has no size");
  const touch = () => theirs.touchscreen.tap(box.x + box.width / 2, box.y + box.height / 2);
  await touch();
  await theirs.locator("[data-tip]").getByText("Tap again to open").waitFor();
  await touch();
  await theirs.waitForURL(/\/events\?.*range=/);
  await phone.close();
});

it("lists the keys on a question mark, and not while somebody types", async () => {
  await open();
  await page.keyboard.press("?");
  const dialog = page.getByRole("dialog", { name: "Keyboard shortcuts" });
  await dialog.getByText("Events over time").waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await page.goto(`${warder.url}/events`);
  await page.getByRole("textbox", { name: "Search events" }).pressSequentially("why?");
  expect(await dialog.count()).toBe(0);
});

it("finds the reference that a blocked caller reads out", async () => {
  const { decision } = await warder.attack("203.0.113.251");
  await open();
  const typed = decision.reference?.toLowerCase() ?? "";
  await page.keyboard.press("/");
  await page.keyboard.type(typed); // before the field has opened: no letter is lost
  const field = page.getByRole("textbox", { name: "Search", exact: true });
  await field.waitFor();
  expect(await field.inputValue()).toBe(typed);
  expect(await field.evaluate((e) => e === document.activeElement)).toBe(true);
  await page
    .getByText(decision.reference ?? "", { exact: false })
    .first()
    .click();
  await page.waitForURL(/\/(references|blocks)/);
  await page.getByText("203.0.113.251").first().waitFor();
  // The field is empty when it opens again; Enter goes where the first line leads.
  await page.keyboard.press("/");
  await page.keyboard.type("audit");
  expect(await field.inputValue()).toBe("audit");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/events\?q=audit/);
});

it("had no violation, no error, no dialog, no request elsewhere", () => {
  expect(nothing()).toEqual([]);
});

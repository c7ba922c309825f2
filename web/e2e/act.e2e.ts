// What an administrator does about it, and what stays.
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { endBrowser, nothing, profile, watched } from "./browser";
import { setUp, signIn } from "./owner";
import { seed } from "./seed";
import { Warder } from "./warder";

let warder: Warder;
let context: BrowserContext;
let page: Page;
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

const check = async (ip: string) => (await warder.call("POST", "/v1/check", { ip })).action;

it("unblocks after asking, with a verdict that stays in the report", async () => {
  await page.goto(`${warder.url}/blocks`);
  await page.getByRole("button", { name: "Unblock 203.0.113.201" }).first().click();
  const dialog = page.getByRole("dialog");
  const confirm = dialog.getByRole("button", { name: "Unblock", exact: true });
  expect(await confirm.isDisabled()).toBe(true);
  await dialog.getByRole("radio", { name: /mistake/ }).check();
  await dialog.getByRole("textbox", { name: "Reason" }).fill("called, it was Bob");
  await confirm.click();
  await page.getByText("203.0.113.201 is not blocked any more").waitFor();
  expect(await check("203.0.113.201")).toBe("allow");
  const { items } = await warder.call("GET", "/v1/blocks?state=lifted&ip=203.0.113.201");
  expect(items[0]).toMatchObject({
    verdict: "error",
    lift_reason: "called, it was Bob",
    lifted_by: expect.stringContaining("owner@example.org"),
  });
});

it("blocks a network for two days", async () => {
  await page.goto(`${warder.url}/blocks`);
  await page.getByRole("button", { name: "Block…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("textbox", { name: "Address or prefix" }).fill("198.18.7.0/24");
  await dialog.getByText("Other…", { exact: true }).click();
  await dialog.getByRole("textbox", { name: "For how long", exact: true }).fill("");
  expect(await dialog.getByRole("button", { name: "Block", exact: true }).isDisabled()).toBe(true);
  await dialog.getByRole("textbox", { name: "For how long", exact: true }).fill("2");
  await dialog.getByRole("button", { name: "Block for 2 days" }).click();
  await page.getByText("198.18.7.0/24 is blocked for 2 days").waitFor();
  const { items } = await warder.call("GET", "/v1/blocks?state=active&ip=198.18.7.0/24");
  expect(Date.parse(items[0].until) - Date.parse(items[0].blocked_at)).toBe(2 * 86400_000);
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByText("198.18.7.0/24 is not blocked any more").waitFor();
});

it("lists suspicious addresses last seen first", async () => {
  for (const ip of ["198.51.100.252", "198.51.100.251", "198.51.100.253"]) await warder.attack(ip, 2);
  await page.goto(`${warder.url}/addresses`);
  const shown = page
    .getByRole("table", { name: "addresses" })
    .getByRole("link", { name: /^198\.51\.100\.25/ });
  await shown.first().waitFor();
  expect(await shown.allTextContents()).toEqual(["198.51.100.253", "198.51.100.251", "198.51.100.252"]);
});

it("shows an event of a long address on a telephone within the screen", async () => {
  const ip = "2001:db8:ffff:eeee:dddd:cccc:bbbb:aaaa";
  await warder.attack(ip, 1, "A".repeat(120));
  const narrow = await profile({ width: 390, height: 844 });
  await narrow.addCookies(await context.cookies());
  const small = await watched(narrow, warder.url);
  await small.goto(`${warder.url}/events?ip=${ip}`);
  await small.getByRole("button", { name: "View USER_LOGIN_FAILURE" }).first().click();
  const drawer = small.getByRole("dialog");
  await drawer.getByRole("button", { name: `Block ${ip}` }).waitFor();
  const wide = await drawer.evaluate((dialog) =>
    [dialog, ...dialog.querySelectorAll("*")]
      .filter((b) => b.getBoundingClientRect().right > innerWidth + 1)
      .map(
        (b) =>
          `${b.tagName} ${b.className} ${b.textContent?.slice(0, 40)} ${b.getBoundingClientRect().right}`,
      ),
  );
  expect(wide).toEqual([]);
  await narrow.close();
});

it("clears tracking; blocks stay, also after a restart", async () => {
  await warder.attack("198.51.100.240", 4);
  await page.goto(`${warder.url}/tracking`);
  await page.getByRole("button", { name: "Clear everything…" }).click();
  const dialog = page.getByRole("dialog");
  const confirm = dialog.getByRole("button", { name: "Clear everything" });
  expect(await confirm.isDisabled()).toBe(true);
  await dialog.getByRole("textbox", { name: /to confirm/ }).fill("clear all");
  await confirm.click();
  await page.getByText("All tracking starts at zero. Blocks stay.").waitFor();
  expect(await check("203.0.113.202")).toBe("block");
  // The next failure is the first, not the fifth.
  expect((await warder.attack("198.51.100.240", 1)).decision.action).toBe("allow");
  await warder.stop("SIGKILL");
  await warder.start();
  expect(await check("203.0.113.202")).toBe("block");
  expect((await warder.attack("198.51.100.240", 3)).decision.action).toBe("allow");
  expect((await warder.attack("198.51.100.240", 1)).decision.action).toBe("block");
});

it("says that a page did not arrive while Warder is away, and fetches it again by itself", async () => {
  await page.goto(`${warder.url}/tracking`);
  await page.getByRole("heading", { name: "Clear tracking" }).waitFor();
  await warder.stop();
  await page.getByRole("link", { name: "Operators", exact: true }).click();
  await page.getByText("This page did not arrive").waitFor();
  await warder.start();
  await page.getByRole("heading", { name: "Operators" }).waitFor();
  await page.getByRole("button", { name: "Invite somebody" }).waitFor();
});

it("lifts what was asked of somebody, with a reason in the audit trail", async () => {
  const answer = await context.request.get(`${warder.url}/v1/policy`);
  const policy = await answer.json();
  const rule = policy.activity.rules.find((r: { id: string }) => r.id === "sign_in");
  Object.assign(rule, { action: "challenge", cooling_period: 3600 });
  const put = await context.request.put(`${warder.url}/v1/policy`, {
    headers: { Origin: warder.url, "If-Match": answer.headers().etag as string },
    data: { ...policy, tests: [] },
  });
  expect(put.ok(), await put.text()).toBe(true);
  await warder.attack("198.51.100.241");
  const asked = async () => (await warder.call("GET", "/v1/demands")).items.map((d: { ip: string }) => d.ip);
  expect(await asked()).toEqual(["198.51.100.241"]);
  await page.goto(`${warder.url}/demands`);
  await page.getByRole("button", { name: "Lift the demand on 198.51.100.241" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("textbox", { name: "Reason" }).fill("it was Bob");
  await dialog.getByRole("button", { name: "Lift", exact: true }).click();
  await page.getByText("Nothing is asked for").waitFor();
  expect(await asked()).toEqual([]);
  const { items } = await warder.call("GET", "/v1/audit?action=demand.lift");
  expect(items[0]).toMatchObject({ actor: "operator:owner@example.org", reason: "it was Bob" });
  // The page of an address offers it, too.
  await warder.attack("198.51.100.242");
  await page.goto(`${warder.url}/addresses/198.51.100.242`);
  await page.getByRole("button", { name: "Ask for nothing more…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Lift", exact: true }).click();
  await page.getByRole("button", { name: "Ask for nothing more…" }).waitFor({ state: "detached" });
  expect(await asked()).toEqual([]);
});

it("exports what the filter on screen shows, and it reads back", async () => {
  await page.goto(`${warder.url}/events?severity=high&severity=critical&not_name=THRESHOLD_EXCEEDED`);
  await page.getByRole("button", { name: "Export" }).click();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("menuitem", { name: /NDJSON/ }).click(),
  ]);
  const stream = await download.createReadStream();
  let text = "";
  for await (const chunk of stream) text += chunk;
  const rows = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const listed: { id: string }[] = [];
  const search = new URL(download.url()).searchParams;
  search.delete("format");
  for (let cursor = ""; ; ) {
    const list = await warder.call("GET", `/v1/events?${search}&limit=500${cursor && `&cursor=${cursor}`}`);
    listed.push(...list.items);
    if (!list.next) break;
    cursor = encodeURIComponent(list.next);
  }
  expect(rows.length).toBeGreaterThan(20);
  expect(rows.map((r) => r.id).sort()).toEqual(listed.map((r) => r.id).sort());
  expect(new Set(rows.map((r) => r.severity))).toEqual(new Set(["high", "critical"]));
});

it("shows nobody's pages after signing out, also by the back button", async () => {
  await page.goto(`${warder.url}/blocks`);
  await page.getByRole("button", { name: "Unblock 203.0.113.202" }).first().waitFor();
  await context.request.delete(`${warder.url}/v1/session`, { headers: { Origin: warder.url } });
  await page.goto(`${warder.url}/`);
  await page.waitForURL(/sign-in/);
  await page.goBack();
  await page.waitForURL(/sign-in/);
  expect(await page.getByText("203.0.113.202").count()).toBe(0);
  await signIn(warder, context);
});

it("had no violation, no error, no dialog, no request elsewhere", () => {
  expect(nothing()).toEqual([]);
});

// What an administrator sets: the policy, reports, notifications, mail, keys.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BrowserContext, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { endBrowser, nothing, profile, watched } from "./browser";
import { ownerEmail, setUp } from "./owner";
import { MailServer } from "./smtp";
import { Warder } from "./warder";

let warder: Warder;
let mail: MailServer;
let context: BrowserContext;
let page: Page;

beforeAll(async () => {
  warder = await new Warder().start();
  mail = await new MailServer().start();
  context = await profile();
  await setUp(warder, context, { preset: "classic", ipsum: false });
  page = await watched(context, warder.url);
});
afterAll(async () => {
  await endBrowser();
  mail.stop();
  await warder.end();
});

const button = (name: string, on: Page | Locator = page) => on.getByRole("button", { name, exact: true });
const panel = (title: string) =>
  page.locator("section, .surface").filter({ has: page.getByRole("heading", { name: title, exact: true }) });
const asOwner = async (path: string) => (await context.request.get(warder.url + path)).json();
const failing = async (ip: string, times: number) => (await warder.attack(ip, times)).decision.action;
const revisions = () => page.getByRole("table", { name: "Revisions of the policy" });

/** Gives the rule sign_in another threshold, by the pages, and says why. */
async function setThreshold(n: number, why: string) {
  await page.goto(`${warder.url}/policy?tab=activity`);
  await button("Edit rule sign_in").click();
  await page.getByLabel("Attempt threshold").fill(String(n));
  await button("Done").click();
  // The policy says in tests of its own what it promises: that is given up knowingly.
  await page.getByText(/^The policy no longer keeps \d+ promises/).waitFor();
  expect(await button("Review and save").isDisabled()).toBe(true);
  // It counts the tests that fail, not their faults, as the alert does.
  const promises = /\d+/.exec((await page.getByText(/^The policy no longer keeps/).textContent()) ?? "")?.[0];
  await page.getByText(new RegExp(`^${promises} tests? of the policy`)).waitFor();
  await button("The change is meant: take these tests out").click();
  await button("Review and save").click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Why").fill(why);
  // Saved is saved: also before the page has read the policy again.
  await page.route("**/v1/policy", (r) => {
    if (r.request().method() !== "GET") void r.continue();
  });
  await button("Save and put in force", dialog).click();
  await page.getByText(/^Revision \d+ is in force\.$/).waitFor();
  await page.getByRole("status").filter({ hasText: "Enforce mode" }).waitFor();
  await page.unroute("**/v1/policy"); // which lets go of what was held
}

/** The events that are listed for an address, newest first, on the page. */
async function listed(ip: string): Promise<string[]> {
  await page.goto(`${warder.url}/events?ip=${ip}`);
  const rows = page.locator("[data-row]");
  await rows.first().waitFor();
  return rows.evaluateAll((all) => all.map((r) => r.getAttribute("data-row") ?? ""));
}

it("leads on from a first page with nothing on it: to the first event, to the mail settings", async () => {
  await page.goto(warder.url);
  await page.getByRole("link", { name: "How to send events" }).click();
  await page.waitForURL(`${warder.url}/start`);
  await page.goBack();
  await page.getByRole("link", { name: "Set up mail" }).click();
  await page.waitForURL(`${warder.url}/settings`);
  await page.getByRole("heading", { name: "Mail", exact: true }).waitFor();
});

it("changes the next decision with a change of the policy, and nothing that was", async () => {
  expect(await failing("203.0.113.10", 4)).toBe("allow");
  expect(await failing("203.0.113.10", 1)).toBe("block");
  const before = await listed("203.0.113.10");
  expect(before.length).toBeGreaterThanOrEqual(5);
  await setThreshold(3, "three are enough");
  expect(await failing("203.0.113.11", 2)).toBe("allow");
  expect(await failing("203.0.113.11", 1)).toBe("block");
  expect(await listed("203.0.113.10")).toEqual(before);
});

it("lists who changed the policy and why, and restores what was before", async () => {
  await page.goto(`${warder.url}/policy?tab=revisions`);
  const first = revisions().getByRole("row").nth(1);
  await first.getByText("three are enough").waitFor();
  await first.getByText(ownerEmail).waitFor();
  await first.getByText("in force").waitFor();
  const before = await revisions().getByRole("row").nth(2).getByRole("button").getAttribute("aria-label");
  await button(before as string).click();
  await button("Restore").click();
  const dialog = page.getByRole("dialog", { name: /^Restore revision/ });
  await dialog.getByText("threshold: 5").first().waitFor();
  await button("Restore", dialog).click();
  await page.getByText(/is in force again, as revision \d+\./).waitFor();
  const { items } = await asOwner("/v1/policy/revisions");
  expect(items.map((r: { by: string }) => r.by).slice(0, 2)).toEqual(Array(2).fill(`operator:${ownerEmail}`));
  expect(await failing("203.0.113.12", 4)).toBe("allow");
  expect(await failing("203.0.113.12", 1)).toBe("block");
});

it("makes a report that verifies, and refuses one with a byte changed", async () => {
  await page.goto(`${warder.url}/reports`);
  await page.getByText("Previous quarter", { exact: true }).click();
  await page.waitForURL(/period=previous_quarter/);
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("link", { name: "JSON", exact: true }).click(),
  ]);
  const file = join(warder.data, "report.json");
  await download.saveAs(file);
  expect(warder.cli(["export", "verify", file])).toMatch(/^genuine: report of /);

  const bytes = readFileSync(file);
  const changed = join(warder.data, "changed.json");
  const at = bytes.indexOf("from") + 1;
  bytes[at] = (bytes[at] as number) ^ 1;
  writeFileSync(changed, bytes);
  expect(() => warder.cli(["export", "verify", changed])).toThrow(/not genuine/);

  // The page says the same of both.
  await page.locator("input[type=file]").setInputFiles(file);
  await page.getByText("report.json is genuine").waitFor();
  await page.locator("input[type=file]").setInputFiles(changed);
  await page.getByText("changed.json does not verify").waitFor();
});

it("shows what the mail server answered to a test", async () => {
  await page.goto(`${warder.url}/settings`);
  const part = panel("Mail");
  await part.getByLabel("Server", { exact: true }).fill("127.0.0.1");
  await part.getByLabel("Encryption").selectOption("none");
  await part.getByLabel("Port", { exact: true }).fill(String(mail.port));
  await part.getByLabel("Sender").fill("Warder <warder@example.org>");
  await button("Save", part).click();
  await button("Save", part).waitFor({ state: "detached" });
  await button("Send a test", part).click();
  await part.getByText("250 2.0.0 taken as message 4711").waitFor();
  expect(mail.mails.at(-1)?.to).toEqual([ownerEmail]);
  // Nobody answers there any more: that is said in the server's place.
  const port = mail.port;
  mail.stop();
  await button("Send a test", part).click();
  await part.getByText("1 of 1 test mail failed").waitFor();
  await part.getByText(new RegExp(`${port}.*refused`)).waitFor();
});

it("keeps what somebody wants to be told", async () => {
  await page.goto(`${warder.url}/notifications`);
  const part = panel("What you are told");
  await part.getByRole("checkbox", { name: "High" }).check();
  await part.getByText("Every hour", { exact: true }).click();
  await part.getByRole("switch", { name: "Quiet hours" }).check();
  await part.getByLabel("From", { exact: true }).fill("23:30");
  await button("Add a threshold", part).click();
  await part.getByLabel("Threshold 1: how often").fill("50");
  await button("Save", part).click();
  await page.getByText("Saved.").waitFor();
  await page.reload();
  await part.getByLabel("From", { exact: true }).waitFor();
  expect(await part.getByRole("checkbox", { name: "High" }).isChecked()).toBe(true);
  expect(await part.getByRole("radio", { name: "Every hour" }).isChecked()).toBe(true);
  expect(await part.getByLabel("From", { exact: true }).inputValue()).toBe("23:30");
  expect(await asOwner("/v1/me/notifications")).toMatchObject({
    severities: expect.arrayContaining(["high"]),
    digest: "hourly",
    quiet: { from: "23:30", to: "06:00", time_zone: expect.stringMatching(/^Asia\/(Kolkata|Calcutta)$/) },
    thresholds: [{ event: "USER_LOGIN_FAILURE", count: 50, seconds: 3600 }],
  });
});

it("makes a key that works, and shows it once", async () => {
  await page.goto(`${warder.url}/applications`);
  await button("Add an application").click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("shop");
  await button("Make the key", dialog).click();
  const token = (await page.locator("pre").first().textContent()) ?? "";
  expect(token).toMatch(/^wk_[0-9a-f_]+$/);
  const report = () =>
    fetch(`${warder.url}/v1/check`, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify({ ip: "203.0.113.99" }),
    });
  expect((await report()).status).toBe(200);
  await button("I have copied it").click();
  await page.getByRole("table", { name: "Keys of applications" }).getByText("shop").waitFor();
  await page.reload();
  await page.getByRole("table", { name: "Keys of applications" }).getByText("shop").waitFor();
  expect(await page.content()).not.toContain(token);
  expect(JSON.stringify(await asOwner("/v1/keys"))).not.toContain(token);
  await button("Revoke the key shop").click();
  await button("Revoke", page.getByRole("dialog")).click();
  await page.getByText("The key shop is revoked.").waitFor();
  expect((await report()).status).toBe(401);
});

it("shows the first event as it arrives", async () => {
  // The page looks back some seconds: the events of the tests before have to be older.
  const recent = () => encodeURIComponent(new Date(Date.now() - 6_000).toISOString());
  await expect
    .poll(async () => (await asOwner(`/v1/events?limit=1&from=${recent()}`)).items.length, {
      timeout: 20_000,
    })
    .toBe(0);
  await page.goto(`${warder.url}/start`);
  await page.getByText("Waiting for the first event.").waitFor();
  await button("Send a test event").click();
  await page.getByText("The first event is here.").waitFor();
  const { items } = await asOwner("/v1/events?limit=1");
  await page.getByText(items[0].name, { exact: true }).first().waitFor();
});

it("had no violation, no error, no dialog, no request elsewhere", () => {
  expect(nothing()).toEqual([]);
});

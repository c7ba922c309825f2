// Pictures of whatever a page of its own does not show, in light and dark, wide
// and narrow, for looking at: doors, the first run, drawers, dialogs, menus, the
// report. Only with PICTURES=1; what the things do is tested elsewhere.
import type { BrowserContext, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { endBrowser, nothing, picture, profile, watched } from "./browser";
import { liveIn } from "./lived";
import { ownerEmail, password, setUp } from "./owner";
import { seed } from "./seed";
import { MailServer } from "./smtp";
import { code } from "./totp";
import { Warder } from "./warder";

type Size = { scheme: string; width: number };

const looks = [
  { scheme: "light", width: 1440 },
  { scheme: "dark", width: 1440 },
  { scheme: "light", width: 390 },
  { scheme: "dark", width: 390 },
] as const;

const button = (on: Page | Locator, name: string | RegExp) => on.getByRole("button", { name, exact: true });
const settled = (page: Page) =>
  page.waitForFunction(() => document.querySelector("[role=status][aria-label^=Loading]") === null);

/** Keeps what is seen, and all of a dialog or drawer that is taller than the window. */
async function keep(page: Page, look: Size, name: string) {
  await settled(page);
  const tall = await page.evaluate(() => {
    const scrolls = (box: Element) => /auto|scroll/.test(getComputedStyle(box).overflowY);
    const more = [...document.querySelectorAll("[role=dialog], [role=dialog] *")].filter(scrolls);
    return Math.max(0, ...more.map((box) => box.scrollHeight - box.clientHeight));
  });
  const height = page.viewportSize()?.height ?? 900;
  // With a dialog open, the page behind it is no longer than the window.
  const open = (await page.getByRole("dialog").count()) > 0;
  if (tall > 0)
    await page.setViewportSize({ width: look.width, height: Math.min(height + tall + 100, 3200) });
  await picture(page, `${name}-${look.scheme}-${look.width}`, !open);
  if (tall > 0) await page.setViewportSize({ width: look.width, height });
}

describe.runIf(process.env.PICTURES).each(looks)("in $scheme at $width pixels", (look) => {
  let warder: Warder;
  let mail: MailServer;
  let context: BrowserContext;
  let page: Page;
  const as = (name: string) => keep(page, look, name);
  const at = async (path: string) => {
    await page.goto(warder.url + path);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await settled(page);
  };
  beforeAll(async () => {
    warder = await new Warder().start();
    mail = await new MailServer().start();
    context = await profile(look);
    page = await watched(context, warder.url);
  });
  afterAll(async () => {
    await endBrowser();
    mail.stop();
    await warder.end();
    expect(nothing()).toEqual([]);
  });

  it("keeps the doors: the first run, signing in, an invitation", { timeout: 180_000 }, async () => {
    const field = (name: string) => page.getByLabel(name, { exact: true });
    await at("/sign-in");
    await as("door-before-setup");
    await at("/setup");
    await as("door-setup-without-link");
    await page.goto(warder.setupLink);
    await field("E-mail address").fill(ownerEmail);
    await field("Password").fill("short");
    await as("door-setup-1-account");
    await field("Password").fill(password);
    await button(page, "Next").click();
    await page.getByRole("radio", { name: "Classic" }).waitFor();
    await as("door-setup-2-protection");
    await page.getByRole("switch", { name: "Use IPsum" }).uncheck();
    await button(page, "Make the account and go on").click();
    await page.getByText("We see you as").waitFor();
    await as("door-setup-3-network");
    await button(page, "No, there is a proxy").click();
    await field("Trusted proxies").fill("not an address");
    await button(page, "Save and look again").click();
    await page.locator("textarea[aria-invalid=true]").waitFor();
    await as("door-setup-3-network-fault");
    await button(page, "Go on all the same").click();
    await field("Server").fill("127.0.0.1");
    await as("door-setup-4-mail");
    await field("Encryption").selectOption("none");
    await field("Port").fill("1");
    await field("Sender").fill("Warder <warder@example.org>");
    await button(page, "Save and send a test").click();
    await page.getByText(/1 of 1 test mail failed/).waitFor();
    await as("door-setup-4-mail-failed");
    await field("Port").fill(String(mail.port));
    await button(page, "Save and send a test").click();
    await page.getByText("taken as message 4711").waitFor();
    await as("door-setup-4-mail-sent");
    await button(page, "It arrived: go on").click();
    const secret = (await page.getByText(/^[A-Z2-7 ]{26,}$/).textContent()) ?? "";
    await as("door-setup-5-factor");
    await page.getByLabel("Digit 1 of 6").click();
    await page.keyboard.type(code(secret));
    await page.getByText("they are shown this once").waitFor();
    await as("door-setup-5-codes");
    await button(page, "I have kept them").click();
    await page.getByRole("heading", { name: "Warder is ready" }).waitFor();
    await as("door-setup-6-done");

    await page.goto(warder.setupLink);
    await page.getByRole("heading", { name: "Warder is set up" }).waitFor();
    await as("door-setup-again");

    const signedIn = await context.cookies();
    await context.clearCookies();
    await at("/sign-in");
    await as("door-sign-in");
    await field("E-mail address").fill(ownerEmail);
    await field("Password").fill("a wrong password of some length");
    await button(page, "Sign in").click();
    await page.getByRole("alert").first().waitFor();
    await as("door-sign-in-wrong");
    await field("Password").fill(password);
    await button(page, "Sign in").click();
    await page.getByRole("heading", { name: "One more step" }).waitFor();
    await as("door-second-factor");
    await page.getByLabel("Digit 1 of 6").click();
    await page.keyboard.type("000000");
    await page.getByRole("alert").first().waitFor();
    await as("door-second-factor-wrong");
    await button(page, "Use a recovery code").click();
    await as("door-recovery-code");
    await context.clearCookies();

    await context.addCookies(signedIn);
    const { link } = await (
      await context.request.post(`${warder.url}/v1/invitations`, {
        headers: { Origin: warder.url },
        data: { email: "ana@example.org", role: "analyst" },
      })
    ).json();
    await context.clearCookies();
    await page.goto(`${warder.url}/accept${new URL(link).hash}`);
    await page.getByRole("heading", { name: "Welcome to Warder" }).waitFor();
    await as("door-accept");
    await at("/accept#token=x");
    await page.getByRole("heading", { name: "The link does not work" }).waitFor();
    await as("door-accept-invalid");
  });
});

describe.runIf(process.env.PICTURES)("of a Warder that people work with", () => {
  let warder: Warder;
  let mail: MailServer;
  let first: BrowserContext;

  beforeAll(async () => {
    warder = await new Warder().start();
    mail = await new MailServer().start();
    await seed(warder);
    first = await profile();
    await setUp(warder, first, { preset: "classic", ipsum: false });
    await liveIn(warder, first, mail);
  });
  afterAll(async () => {
    await endBrowser();
    mail.stop();
    await warder.end();
  });

  /** What is opened, where, and by which presses of what. */
  type Press = string | RegExp | ((page: Page) => Promise<unknown>);
  const fill = (label: string, value: string) => (page: Page) =>
    page.getByRole("dialog").getByRole("textbox", { name: label }).fill(value);
  const opened: [string, string, ...Press[]][] = [
    ["dialog-block", "/blocks", /^Block…$/],
    ["dialog-unblock", "/blocks", /^Unblock 203\.0\.113\.201$/],
    ["dialog-import", "/blocks", /^Import$/],
    ["dialog-trust", "/trusted", /^Trust…$/],
    ["dialog-clear", "/tracking", /^Clear everything…$/],
    ["dialog-clear-address", "/addresses/203.0.113.201", /^More actions$/, /^Clear its tracking/],
    ["dialog-end-sessions", "/addresses/203.0.113.201", /^More actions$/, /^End its sessions/],
    ["dialog-mark", "/addresses/203.0.113.201", /^More actions$/, /fraudulent/],
    ["dialog-key", "/applications", /^Add an application$/],
    ["dialog-invite", "/operators", /^Invite somebody$/],
    ["dialog-provider", "/providers", /^Add a provider$/],
    ["dialog-passkey", "/me", /^Add a passkey$/],
    ["dialog-sign-out-everywhere", "/me", /^Sign out everywhere$/],
    ["dialog-lift-demand", "/demands", /^Lift the demand on/],
    ["dialog-revoke-key", "/applications", /^Revoke the key shop$/],
    ["dialog-preset", "/policy?tab=presets", /^Compare with yours$/],
    ["dialog-view-save", "/events", /^Views$/, /^Save what is shown now/],
    ["dialog-view-remove", "/events", /^Views$/, /^Remove views/],
    ["drawer-rule", "/policy?tab=activity", /^Edit rule sign_in$/],
    ["drawer-preview", "/policy?tab=activity", /^Preview/],
    ["drawer-revision", "/policy?tab=revisions", /^Show revision 2$/],
    ["drawer-audit", "/audit", /^Details of row/],
    ["drawer-chain", "/audit", /^Verify/],
    ["menu-posture", "/", /^State of protection/],
    ["menu-user", "/", /Signed in as/],
    ["menu-views", "/events", /^Views$/],
    ["menu-export", "/events", /^Export$/],
    ["menu-range", "/events", /^Custom$/],
    ["menu-row", "/addresses", /^Actions for/],
    ["menu-operator", "/operators", /^Actions for ana|^Actions for owner/],
    ["menu-rule", "/policy?tab=activity", /^More for rule sign_in$/],
    ...(["Why", "Around it", "JSON"] as const).map((tab): [string, string, ...Press[]] => [
      `drawer-event-${tab.toLowerCase().replace(" ", "-")}`,
      "/events?name=THRESHOLD_EXCEEDED",
      /^View THRESHOLD/,
      (page) => page.getByRole("tab", { name: tab }).click(),
    ]),
    ["dialog-shortcuts", "/", (page) => page.keyboard.press("?")],
    ["dialog-search", "/", (page) => page.keyboard.press("/"), (page) => page.keyboard.type("203.0.113.2")],
    [
      "dialog-key-made",
      "/applications",
      /^Add an application$/,
      (page) => fill("Name", `billing-${Date.now()}`)(page),
      /^Make the key$/,
      (page) => page.getByText("It is shown this once").waitFor(),
    ],
    [
      "dialog-invite-made",
      "/operators",
      /^Invite somebody$/,
      (page) => fill("E-mail address", `bob${Date.now()}@example.org`)(page),
      /^Make the invitation$/,
      (page) => page.getByText("Sent by mail").waitFor(),
    ],
    ["dialog-operator", "/operators", /^Actions for owner/, /^Role and end$/],
    ["blocks-selected", "/blocks", (page) => page.getByLabel("Select all rows shown").check()],
    [
      "trend-table",
      "/",
      (page) => page.getByText("Table", { exact: true }).first().click(),
      (page) =>
        page
          .getByRole("table", { name: /events/ })
          .first()
          .waitFor(),
    ],
    // The last: the page does not let go of a change that is not saved.
    [
      "dialog-policy-save",
      "/policy",
      (page) => page.getByRole("radio", { name: "Observe" }).click(),
      /^Review and save$/,
    ],
  ];

  const pages = [
    "/providers",
    "/notifications",
    "/applications",
    "/operators",
    "/audit",
    "/trusted",
    "/demands",
    "/blocks",
    "/blocks?state=lifted",
    "/blocks?state=review",
    "/addresses/203.0.113.201",
    "/addresses/203.0.113.230",
    "/addresses/192.0.2.5",
    "/accounts/person1@example.org?realm=admin",
    "/policy",
    "/policy?tab=history",
    "/policy?tab=activity",
    "/policy?tab=providers",
    "/policy?tab=retention",
    "/policy?tab=presets",
    "/policy?tab=yaml",
    "/policy?tab=revisions",
    "/events?severity=high&not_name=THRESHOLD_EXCEEDED",
    "/events?ip=192.0.2.254",
    "/reports?period=custom",
    "/nowhere",
    "/references/00000000",
  ];

  it.each(looks)(
    "keeps pages with something on them, in $scheme at $width pixels",
    { timeout: 400_000 },
    async (look) => {
      const context = await profile(look);
      await context.addCookies(await first.cookies());
      const page = await watched(context, warder.url);
      const only = process.env.ONLY ? new RegExp(process.env.ONLY) : undefined;
      const named = pages.map(
        (p) => [`full-${p.replace(/[^a-z0-9]+/gi, "-").replace(/^-|-$/g, "")}`, p] as const,
      );
      const { items: blocks } = await warder.call("GET", "/v1/blocks?state=active&limit=100");
      const block = blocks.find((b: { ip?: string }) => b.ip === "203.0.113.201");
      const { items: events } = await warder.call("GET", "/v1/events?name=THRESHOLD_EXCEEDED&limit=1");
      const more = [
        ["full-reference", `/references/${block.reference}`],
        ["drawer-block", `/blocks?block=${block.id}`],
        ["drawer-event", `/events?event=${events[0].id}`],
      ] as const;
      for (const [name, path] of [...named, ...more].filter(([n]) => !only || only.test(n))) {
        await page.goto(warder.url + path);
        await page.getByRole("heading", { level: 1 }).first().waitFor();
        await settled(page);
        await page.waitForTimeout(200);
        await keep(page, look, name);
      }
      if (!only || only.test("report")) {
        await page.goto(`${warder.url}/v1/export/report?format=html&inline=true&period=this_month`);
        await page.getByRole("heading", { level: 1 }).first().waitFor();
        await keep(page, look, "report");
      }
      await context.close();
    },
  );

  it.each(looks)("keeps what opens, in $scheme at $width pixels", { timeout: 400_000 }, async (look) => {
    const context = await profile(look);
    await context.addCookies(await first.cookies());
    const page = await watched(context, warder.url);
    const missing: string[] = [];
    const only = process.env.ONLY ? new RegExp(process.env.ONLY) : undefined;
    const at = async (path: string) => {
      await page.goto(warder.url + path);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await settled(page);
    };
    const all: typeof opened = look.width < 400 ? [["menu-pages", "/", /^Menu$/], ...opened] : opened;
    for (const [name, path, ...presses] of all.filter(([n]) => !only || only.test(n))) {
      try {
        await at(path);
        for (const press of presses) {
          if (typeof press === "function") {
            await press(page);
            continue;
          }
          const target = page
            .getByRole("button", { name: press })
            .or(page.getByRole("menuitem", { name: press }));
          await target.first().click({ timeout: 5000 });
        }
        await page.waitForTimeout(300);
        await keep(page, look, name);
      } catch (e) {
        missing.push(`${name}: ${String(e).split("\n")[0]}`);
      }
    }
    await context.close();
    expect(missing).toEqual([]);
  });
});

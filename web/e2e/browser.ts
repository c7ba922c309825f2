// A real browser that notes whatever must not happen: violations of the
// content security policy, requests to another host, errors of the page,
// dialogs. Every test file ends with nothing().
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

const programs = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const out = join(dirname(fileURLToPath(import.meta.url)), "out");

let browser: Browser | undefined;
const faults: string[] = [];

export type Look = { scheme?: "light" | "dark"; width?: number; height?: number; touch?: boolean };

/** A browser profile of its own: cookies, storage, nothing shared. */
export async function profile(look: Look = {}): Promise<BrowserContext> {
  const executablePath = process.env.CHROMIUM ?? programs.find(existsSync);
  if (!executablePath) throw new Error(`no Chromium: looked for ${programs.join(", ")}`);
  browser ??= await chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  });
  const context = await browser.newContext({
    viewport: { width: look.width ?? 1440, height: look.height ?? 900 },
    colorScheme: look.scheme ?? "light",
    locale: "en-GB",
    timezoneId: "Asia/Kolkata",
    reducedMotion: "reduce",
    hasTouch: look.touch,
  });
  context.setDefaultTimeout(20_000);
  return context;
}

/** A page that is watched. */
export async function watched(context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage();
  const host = new URL(url).host;
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (e) => {
      console.error(
        `CSP-VIOLATION ${e.violatedDirective} ${e.blockedURI} ${e.sample} at ${location.pathname}`,
      );
    });
  });
  page.on("console", (message) => {
    if (message.text().startsWith("CSP-VIOLATION")) faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(`page error at ${page.url()}: ${error.message}`));
  page.on("dialog", (dialog) => {
    faults.push(`dialog at ${page.url()}: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    const to = new URL(request.url());
    if (to.protocol.startsWith("http") && to.host !== host) faults.push(`request to ${to.host}`);
  });
  return page;
}

/** What happened that must not happen, since the last call. */
export function nothing(): string[] {
  return faults.splice(0);
}

type Finding = { id: string; impact: string; nodes: { html: string; failureSummary: string }[] };
type Axe = { run(on: Document, options: object): Promise<{ violations: Finding[] }> };

/** The serious and critical findings of axe on the page as it is now. */
export async function axe(page: Page): Promise<string[]> {
  await page.evaluate(axeSource);
  const found = await page.evaluate(async () => {
    const result = await (window as unknown as { axe: Axe }).axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    });
    return result.violations
      .filter((v) => ["serious", "critical"].includes(v.impact))
      .map(
        (v) =>
          `${v.id}: ${v.nodes
            .map((n) => `${n.html.slice(0, 160)} (${n.failureSummary})`)
            .slice(0, 3)
            .join(" | ")}`,
      );
  });
  return found.map((f) => `${page.url()} ${f}`);
}

/** Keeps a picture of the page, for looking at. */
export async function picture(page: Page, name: string, fullPage = true) {
  mkdirSync(out, { recursive: true });
  await page.screenshot({ path: join(out, `${name}.png`), fullPage, timeout: 60_000 });
}

/** What every open page shows, for a test that failed: where it is, and what stands in front. */
export async function shown(): Promise<string> {
  const pages = browser?.contexts().flatMap((c) => c.pages()) ?? [];
  const lines = await Promise.all(
    pages.map(async (page) => {
      const front = page.locator("[role=dialog], [role=alert]");
      const texts = await front.allInnerTexts().catch((e: Error) => [e.message]);
      return [page.url(), ...texts.map((t) => JSON.stringify(t.slice(0, 500)))].join("\n  ");
    }),
  );
  return `open pages:\n${lines.join("\n")}`;
}

export async function endBrowser() {
  await browser?.close();
  browser = undefined;
}

// Draws Security events in the distribution's Chromium and says how long that
// took, each time as somebody sees it who comes for the first time: a profile of
// its own, so nothing is cached. `make bench` runs it.
//
// On standard input: {"url", "cookie": {"name", "value"}, "loads"}. On standard
// output, for each load: {"ms", "events"}, the milliseconds from the beginning of
// the navigation until the frame in which the chart, the ring, the figures and
// the recent events are all on the screen, and the figure of events.
import { existsSync, readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const programs = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = process.env.CHROMIUM ?? programs.find(existsSync);
if (!executablePath) {
  console.error("Chromium is missing, install it");
  process.exit(3);
}
const { url, cookie, loads } = JSON.parse(readFileSync(0, "utf8"));
const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});
try {
  for (let i = 0; i < loads; i++) {
    const context = await browser.newContext({
      viewport: { width: 1440, height: 900 },
      timezoneId: "UTC",
      reducedMotion: "reduce",
    });
    await context.addCookies([{ ...cookie, url }]);
    const page = await context.newPage();
    await page.addInitScript(() => {
      const parts = [
        "[data-chart=trend] [data-series]",
        "[data-chart=donut] [data-slice]",
        "table[aria-label='Recent events'] [data-row]",
        "[aria-label^='Events: ']",
      ];
      window.drawn = new Promise((resolve) => {
        const look = () => {
          if (!parts.every((p) => document.querySelector(p))) return requestAnimationFrame(look);
          // What this frame is about to paint is on the screen before the next task.
          const { port1, port2 } = new MessageChannel();
          port1.onmessage = () => resolve(performance.now());
          port2.postMessage(null);
        };
        requestAnimationFrame(look);
      });
    });
    await page.goto(url, { waitUntil: "commit" });
    const ms = await page.evaluate(() => window.drawn);
    const events = await page.locator("[aria-label^='Events: ']").first().textContent();
    console.log(JSON.stringify({ ms, events: Number(events.replaceAll(",", "")) }));
    await context.close();
  }
} finally {
  await browser.close();
}

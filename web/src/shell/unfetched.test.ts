import { expect, it } from "vitest";
import { unfetched } from "./Unfetched";

it("knows a page that did not arrive from one that failed", () => {
  for (const says of [
    "Unable to preload CSS for /assets/TabStrip.css",
    "Failed to fetch dynamically imported module: /assets/Audit.js",
    "error loading dynamically imported module",
    "Importing a module script failed.",
  ])
    expect(unfetched(new TypeError(says)), says).toBe(true);
  expect(unfetched(new TypeError("x is undefined"))).toBe(false);
  expect(unfetched(undefined)).toBe(false);
});

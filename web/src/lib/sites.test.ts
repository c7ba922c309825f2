import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  gateCommand,
  gateConfig,
  guides,
  kinds,
  meaning,
  outcomes,
  profiles,
  type Site,
  states,
} from "./sites";

const root = `${process.cwd()}/../`;

describe("the page of the sites", () => {
  it("leads to guides that exist and offers every profile that is shipped", () => {
    for (const g of guides) expect(existsSync(`${root}docs/${g.file}`), g.file).toBe(true);
    const shipped = readdirSync(`${root}internal/gate/profiles`).map((f) => f.replace(".yaml", ""));
    expect([...profiles].sort()).toEqual(shipped.sort());
  });
  it("has a word for every state and every kind of endpoint that the API knows", () => {
    const text = readFileSync(`${root}internal/api/testdata/openapi.json`, "utf8");
    const schemas = JSON.parse(text).components.schemas;
    for (const state of schemas.SiteView.properties.state.enum) {
      expect(states[state], state).toBeDefined();
      expect(meaning(state) === undefined, state).toBe(state === "ok");
    }
    for (const kind of schemas.SiteMatch.properties.kind.enum) expect(kinds[kind], kind).toBeDefined();
  });
  it("says of how many sign-ins the outcome is known", () => {
    const site = (attempts: number, success: number, failure: number) =>
      outcomes({ attempts, success, failure } as Site);
    expect(site(0, 0, 0)).toBe("no sign-in since the start");
    expect(site(1, 0, 1)).toBe("of the one sign-in");
    expect(site(7, 3, 4)).toBe("of every sign-in");
    expect(site(1200, 3, 4)).toBe("of 7 of 1,200 sign-ins");
  });
  it("writes what Warder reads", () => {
    expect(gateCommand("wordpress")).toContain("--profile wordpress");
    expect(gateConfig("wordpress")).toMatch(/^sites:\n {2}- name: www\n/);
  });
});

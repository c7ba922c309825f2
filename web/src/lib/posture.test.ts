import { describe, expect, it } from "vitest";
import { posture, presetOf } from "./posture";

const rule = { id: "sign_in", enabled: true, mode: "enforce" };
const policy = (more: object = {}) =>
  ({ enabled: true, mode: "enforce", activity: { enabled: true, rules: [rule] }, ...more }) as never;
const ready = (...degraded: object[]) => ({ ready: true, degraded }) as never;
const presets = [
  { name: "classic", document: policy() },
  { name: "observe", document: policy({ mode: "observe" }) },
];

describe("the state of protection", () => {
  it("is told from readiness and policy", () => {
    const state = (r: never, p: never, failed = false) => posture(r, p, presets, failed).state;
    expect(state(ready(), policy())).toBe("protecting");
    expect(state(ready({ reason: "mail_failing" }), policy())).toBe("attention");
    expect(state(ready(), policy({ mode: "observe" }))).toBe("observing");
    expect(state(ready(), policy({ enabled: false }))).toBe("off");
    expect(state(ready(), policy({ mode: "off" }))).toBe("off");
    expect(state(ready(), policy(), true)).toBe("away");
    expect(state({ ready: false, degraded: [] } as never, policy())).toBe("away");
    expect(state(undefined as never, undefined as never)).toBe("unknown");
  });

  it("names the preset whose rules are in force", () => {
    expect(presetOf(policy(), presets)).toBe("classic");
    expect(presetOf(policy({ mode: "observe" }), presets)).toBe("observe");
    expect(presetOf(policy({ activity: { enabled: true, rules: [] } }), presets)).toBeUndefined();
  });

  it("counts the rules that act", () => {
    const rules = [rule, { ...rule, enabled: false }, { ...rule, mode: "off" }, { ...rule, mode: "observe" }];
    expect(posture(ready(), policy({ activity: { enabled: true, rules } }), presets, false).rules).toBe(2);
    expect(posture(ready(), policy({ activity: { enabled: false, rules } }), presets, false).rules).toBe(0);
  });
});

// Thirty days of a small platform: people who sign in and mistype, attackers
// of several kinds, texts that want to be more than text.
import { payloads } from "./payloads";
import type { Warder } from "./warder";

const agents = [
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/142.0 Safari/537.36",
  "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) Version/19.1 Mobile Safari/604.1",
  "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
  "python-requests/2.32.3",
  "curl/8.16.0",
];
const day = 86_400_000;

export async function seed(warder: Warder) {
  // A small generator of numbers, so that two runs see the same.
  let state = 4711;
  const random = (n: number) => {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    return (state >>> 12) % n; // the low bits repeat soon
  };
  const now = Date.now();
  const events: Record<string, unknown>[] = [];
  for (let d = 29; d >= 0; d--) {
    const at = (minutes: number) => new Date(Math.min(now - d * day - minutes * 60_000, now)).toISOString();
    for (let i = 0; i < 14; i++) {
      const person = random(24);
      const base = {
        ip: `192.0.2.${10 + person}`,
        account: `person${person}@example.org`,
        realm: person < 3 ? "admin" : "user",
        user_agent: agents[person % 3],
        path: "/login",
      };
      const name = person < 3 ? "ADMIN_LOGIN" : "USER_LOGIN";
      if (random(5) === 0) {
        events.push({ ...base, name: `${name}_FAILURE`, reason: "wrong_password", time: at(600 - i) });
      }
      events.push({ ...base, name: `${name}_SUCCESS`, session: `s-${d}-${i}`, time: at(599 - i) });
      if (random(9) === 0) {
        events.push({ ...base, name: "USER_PASSWORD_RESET_REQUEST", path: "/reset", time: at(300 - i) });
      }
    }
    for (let a = 0; a < 1 + random(4); a++) {
      const ip = `203.0.113.${1 + random(60)}`;
      for (let i = 0; i < 3 + random(9); i++) {
        events.push({
          name: a % 3 === 2 ? "ADMIN_LOGIN_FAILURE" : "USER_LOGIN_FAILURE",
          ip,
          account: ["admin", "root", "info", "test", "sales"][random(5)],
          realm: a % 3 === 2 ? "admin" : "user",
          user_agent: agents[3 + random(2)],
          path: a % 3 === 2 ? "/admin/login" : "/login",
          reason: random(3) === 0 ? "unknown_account" : "wrong_password",
          time: at(200 - i),
        });
      }
    }
  }
  for (const [i, text] of payloads.entries()) {
    events.push({
      name: "USER_LOGIN_FAILURE",
      ip: `198.51.100.${1 + i}`,
      account: text,
      realm: "user",
      user_agent: text,
      path: `/${text}`,
      reason: "wrong_password",
      details: { text },
    });
  }
  for (let i = 0; i < events.length; i += 500) {
    const answer = await warder.call("POST", "/v1/events", { events: events.slice(i, i + 500) });
    const refused = answer.results.filter((r: { error?: unknown }) => r.error);
    if (refused.length > 0) throw new Error(`seed: refused ${JSON.stringify(refused[0])}`);
  }
  // One who is blocked now, for each of three reasons.
  await warder.attack("203.0.113.201");
  await warder.attack("203.0.113.202", 5, "<script>alert(1)</script>");
  for (let i = 0; i < 10; i++) await warder.attack("2001:db8:77::1", 1, `name${i}`);
}

// A Warder that people work with: mail goes out, lists of others are fetched,
// somebody is invited, views are saved, the policy was changed. Its pages show
// what their empty states do not.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BrowserContext } from "playwright-core";
import type { MailServer } from "./smtp";
import type { Warder } from "./warder";

type Policy = { providers: unknown[]; activity: { rules: unknown[] } };

/** Fills what seed() leaves empty; owner is a profile of the signed-in owner. */
export async function liveIn(warder: Warder, owner: BrowserContext, mail: MailServer) {
  const send = async (method: string, path: string, data?: unknown, more: Record<string, string> = {}) => {
    const answer = await owner.request.fetch(warder.url + path, {
      method,
      headers: { Origin: warder.url, "Content-Type": "application/json", ...more },
      ...(data === undefined ? {} : { data: JSON.stringify(data) }),
    });
    const text = await answer.text();
    if (!answer.ok()) throw new Error(`${method} ${path}: ${answer.status()} ${text}`);
    return { body: text ? JSON.parse(text) : undefined, etag: answer.headers().etag ?? "" };
  };
  const changePolicy = async (change: (policy: Policy) => void, comment: string) => {
    const { body, etag } = await send("GET", "/v1/policy");
    change(body);
    await send("PUT", `/v1/policy?comment=${encodeURIComponent(comment)}`, body, { "If-Match": etag });
  };

  await send("PUT", "/v1/settings", {
    smtp: { host: "127.0.0.1", port: mail.port, tls: "none", from: "Warder <warder@example.org>" },
    public_url: warder.url,
    contact: "help@example.org",
  });

  const list = join(warder.data, "attackers.txt");
  const lines = Array.from({ length: 400 }, (_, i) => `11.22.${i >> 8}.${i & 255}\t${1 + (i % 8)}`);
  writeFileSync(list, ["# attackers", "not an address\t3", "10.0.0.1\t9", ...lines].join("\n"));
  const levels = [
    { at_least: 3, action: "challenge" },
    { at_least: 5, action: "block" },
  ];
  await changePolicy((policy) => {
    policy.providers = [
      { name: "ours", enabled: true, url: list, format: "ipsum", refresh: 86400, levels },
      { name: "gone", enabled: true, url: "/nowhere/list.txt", format: "ipsum", refresh: 86400, levels },
      {
        name: "later",
        enabled: false,
        url: "https://example.org/l.txt",
        format: "ipsum",
        refresh: 86400,
        levels,
      },
    ];
  }, "a list of our own");
  await changePolicy((policy) => {
    policy.activity.rules.push({
      id: "resets",
      events: ["USER_PASSWORD_RESET_REQUEST"],
      key: "ip",
      threshold: 4,
      time_range: 3600,
      cooling_period: 3600,
      action: "challenge",
    });
  }, "somebody asks for passwords of others");

  for (const ip of ["203.0.113.230", "203.0.113.231"]) {
    for (let i = 0; i < 4; i++) {
      const account = `person${i}@example.org`;
      await warder.call("POST", "/v1/events", { name: "USER_PASSWORD_RESET_REQUEST", ip, account });
    }
  }
  await send("POST", "/v1/trusted", { ip: "192.0.2.0/28", note: "the office", expires_in: 0 });
  await send("POST", "/v1/trusted", { ip: "198.51.100.250", note: "monitoring", expires_in: 86400 });
  await send("POST", "/v1/blocks", {
    ip: "198.51.100.64/26",
    reason: "scans the whole platform since Monday, asked the provider twice",
    duration: 0,
  });
  await send("POST", "/v1/blocks", { ip: "2001:db8:99::1", reason: "the same, from there", duration: 86400 });
  await send("POST", "/v1/invitations", { email: "ana@example.org", role: "analyst" });
  await send("POST", "/v1/keys", {
    name: "shop",
    scopes: ["events", "check"],
    can: ["challenge"],
    from: ["192.0.2.0/24"],
  });
  await send("POST", "/v1/views", {
    page: "events",
    name: "Refused at night",
    query: "range=7d&severity=high",
    shared: true,
  });
  await send("POST", "/v1/notes", {
    on: "ip:203.0.113.201",
    text: "Their provider answers to abuse mail within a day.",
  });
  await warder.attack("203.0.113.203", 5, "info");
  const { items } = await warder.call("GET", "/v1/blocks?state=active&limit=100");
  const lifted = items.find((b: { ip?: string }) => b.ip === "203.0.113.203");
  await send("DELETE", `/v1/blocks/${lifted.id}`, {
    verdict: "error",
    reason: "it was Bob, who was on the phone",
  });
}

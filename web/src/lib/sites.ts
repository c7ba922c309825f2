import type { Schemas } from "@/api/client";
import { plural } from "./words";

export type Site = Schemas["SiteView"];
export type Asker = Schemas["ProxyView"];

/** What a state is called, and how it looks. */
export const states: Record<
  string,
  { word: string; color: string; tone: "fine" | "hint" | "step" | "stop" }
> = {
  ok: { word: "guarding", color: "teal", tone: "fine" },
  waiting: { word: "waiting for the first sign-in", color: "gray", tone: "hint" },
  no_outcome: { word: "sees no outcome", color: "yellow", tone: "step" },
  upstream_down: { word: "application does not answer", color: "red", tone: "stop" },
};

export const kinds: Record<string, string> = {
  sign_in: "Sign-in",
  mfa: "Second factor",
  reset_request: "Password recovery asked for",
  password_reset: "Password reset",
  sign_up: "Sign-up",
  sign_out: "Sign-out",
  admin_area: "Pages for administrators",
  basic: "Basic authentication",
  open: "Open to everybody",
};

/** What the state means, in a sentence; nothing is said of what is well. */
export function meaning(state: string, enforcesOnly = false): string | undefined {
  switch (state) {
    case "no_outcome":
      return enforcesOnly
        ? "It refuses who is blocked, but nobody reports how sign-ins end: nothing is counted, so nobody new gets blocked."
        : "It refuses who is blocked, but saw no sign-in succeed or fail for 24 hours: nothing is counted, so nobody new gets blocked.";
    case "waiting":
      return enforcesOnly
        ? "It refuses who is blocked. No application has reported a sign-in since Warder started."
        : "It stands and passes requests on. No sign-in was seen since Warder started.";
    case "upstream_down":
      return "The last request got no answer from the application. Sign-ins without an answer are not held against anybody.";
  }
}

/** The share of sign-ins with an outcome, in words. */
export function outcomes(s: Site): string {
  const known = s.success + s.failure;
  if (s.attempts === 0) return "no sign-in since the start";
  if (known === s.attempts) return s.attempts === 1 ? "of the one sign-in" : "of every sign-in";
  return `of ${known.toLocaleString("en")} of ${plural(s.attempts, "sign-in")}`;
}

/** Where the integrations are described. */
const docs = "https://github.com/warderhq/warder/blob/main/docs";
export const guides: { name: string; file: string; about: string }[] = [
  { name: "nginx", file: "integrations/nginx.md", about: "auth_request" },
  { name: "Caddy", file: "integrations/caddy.md", about: "forward_auth" },
  { name: "HAProxy", file: "integrations/haproxy.md", about: "Lua" },
  { name: "Traefik", file: "integrations/traefik.md", about: "ForwardAuth" },
  { name: "Envoy", file: "integrations/envoy.md", about: "ext_authz" },
  { name: "Kubernetes", file: "integrations/kubernetes.md", about: "ingress-nginx" },
  { name: "PHP behind nginx", file: "integrations/php-nginx.md", about: "through the gate" },
];
export const guideUrl = (file: string) => `${docs}/${file}`;

/** The gate by one command, without a file. */
export const gateCommand = (profile: string) =>
  `warder gate --upstream http://127.0.0.1:3000 \\
  --profile ${profile} --site 0.0.0.0:80`;

/** The gate beside others, in the configuration file. */
export const gateConfig = (profile: string) =>
  `sites:
  - name: www
    listen: 0.0.0.0:443
    tls: {cert: /etc/warder/www.pem, key: /etc/warder/www.key}
    upstream: http://127.0.0.1:3000
    profile: ${profile}
    on_failure: closed     # open: let sign-ins through when Warder cannot guard them`;

/** Profiles that come with Warder. */
export const profiles = [
  "generic-form",
  "generic-json",
  "basic-auth",
  "wordpress",
  "phpmyadmin",
  "laravel",
  "django-admin",
  "gitea",
  "grafana",
  "sms-platform",
];

// An application that knows nothing of Warder: a form, a session in a cookie, a
// second factor. What stands behind the gate in these tests.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { formOf, Local } from "./local";

const page = (title: string, body: string) => `<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><title>${title}</title><body><main><h1>${title}</h1>${body}</main></body></html>`;

const form = (fault = "") =>
  page(
    "Sign in",
    `${fault ? `<p role="alert">${fault}</p>` : ""}<form method="post">
<label>User name <input name="username" autocomplete="username"></label>
<label>Password <input name="password" type="password" autocomplete="current-password"></label>
<button>Sign in</button></form>`,
  );

/**
 * A port of this machine that nobody uses now, and that stays free: it lies
 * below those that the system hands out by itself.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = 11_000 + Math.floor(Math.random() * 20_000);
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!free) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
  throw new Error("no port is free");
}

export class Platform extends Local {
  checked = 0; // passwords
  cookies: string[] = []; // as they arrived
  private readonly sessions = new Map<string, string>();

  protected async answer(request: IncomingMessage, response: ServerResponse) {
    const path = new URL(request.url ?? "/", "http://x").pathname;
    if (request.headers.cookie) this.cookies.push(request.headers.cookie);
    const session = /sms_session=(\w+)/.exec(request.headers.cookie ?? "")?.[1] ?? "";
    const who = this.sessions.get(session);
    const say = (html: string, status = 200) => {
      response.writeHead(status, { "Content-Type": "text/html; charset=utf-8" }).end(html);
    };
    const go = (to: string, cookie?: string) => {
      response.writeHead(303, { Location: to, ...(cookie ? { "Set-Cookie": cookie } : {}) }).end();
    };
    if (path === "/login" && request.method === "POST") {
      this.checked++;
      const sent = await formOf(request);
      if (sent.get("password") !== "right") return say(form("Wrong user name or password."));
      const id = Math.random().toString(36).slice(2);
      this.sessions.set(id, sent.get("username") ?? "");
      return go("/home", `sms_session=${id}; Path=/; HttpOnly`);
    }
    if (path === "/login") return say(form());
    if (path === "/home") return who ? say(page(`Hello ${who}`, "")) : go("/login");
    say(page("Welcome", `<a href="/login">Sign in</a>`), path === "/" ? 200 : 404);
  }
}

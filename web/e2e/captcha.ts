// A CAPTCHA service of this machine: a script that shows a button, and
// siteverify.
import type { IncomingMessage, ServerResponse } from "node:http";
import { formOf, Local } from "./local";

const script = `
window.turnstile = {
  render(box, options) {
    const button = document.createElement("button");
    button.textContent = "I am human (" + options.sitekey + ", " + options.theme + ")";
    button.onclick = () => options.callback("good " + Math.random());
    box.append(button);
  },
};`;

export class Captcha extends Local {
  verified: URLSearchParams[] = [];
  private readonly spent = new Set<string>();

  protected async answer(request: IncomingMessage, response: ServerResponse) {
    const path = new URL(request.url ?? "/", "http://x").pathname;
    if (path === "/turnstile/v0/api.js")
      return void response.writeHead(200, { "Content-Type": "text/javascript" }).end(script);
    const form = await formOf(request);
    this.verified.push(form);
    const token = form.get("response") ?? "";
    const success = form.get("secret") === "the-secret" && token.startsWith("good") && !this.spent.has(token);
    this.spent.add(token);
    response
      .writeHead(200, { "Content-Type": "application/json" })
      .end(JSON.stringify({ success, "error-codes": success ? [] : ["invalid-input-response"] }));
  }
}

// A CAPTCHA service of this machine: a script that shows a button, and
// siteverify.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

const script = `
window.turnstile = {
  render(box, options) {
    const button = document.createElement("button");
    button.textContent = "I am human (" + options.sitekey + ", " + options.theme + ")";
    button.onclick = () => options.callback("good " + Math.random());
    box.append(button);
  },
};`;

export class Captcha {
  verified: URLSearchParams[] = [];
  private readonly server: Server;
  private readonly spent = new Set<string>();

  constructor() {
    this.server = createServer(async (request, response) => {
      const path = new URL(request.url ?? "/", "http://x").pathname;
      if (path === "/turnstile/v0/api.js")
        return void response.writeHead(200, { "Content-Type": "text/javascript" }).end(script);
      let text = "";
      for await (const chunk of request) text += chunk;
      const form = new URLSearchParams(text);
      this.verified.push(form);
      const token = form.get("response") ?? "";
      const success =
        form.get("secret") === "the-secret" && token.startsWith("good") && !this.spent.has(token);
      this.spent.add(token);
      response
        .writeHead(200, { "Content-Type": "application/json" })
        .end(JSON.stringify({ success, "error-codes": success ? [] : ["invalid-input-response"] }));
    });
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  get url() {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

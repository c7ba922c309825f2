// An instance of the built binary, in a data directory of its own, on a free
// port of this machine.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const binary = fileURLToPath(new URL("../../bin/warder", import.meta.url));

export class Warder {
  readonly data: string;
  url = ""; // http://localhost:PORT, the name that passkeys need
  key = ""; // the API key that the first start prints
  setupLink = ""; // the one-time link that the first start prints
  output = "";
  private process?: ChildProcess;
  private readonly env: Record<string, string>;
  private readonly more: string[] = [];

  /** config is the text of a configuration file. */
  constructor(env: Record<string, string> = {}, config = "") {
    if (!existsSync(binary)) throw new Error("bin/warder is not built: make build");
    this.data = mkdtempSync(join(tmpdir(), "warder-e2e-"));
    this.env = env;
    if (config) {
      this.more = ["--config", join(this.data, "warder.yaml")];
      writeFileSync(this.more[1] as string, config);
    }
  }

  /** Starts it and returns when it is ready. */
  async start(): Promise<this> {
    const port = this.url ? new URL(this.url).port : "0";
    this.output = "";
    const child = spawn(
      binary,
      ["serve", "--data", this.data, "--listen", `127.0.0.1:${port}`, ...this.more],
      {
        env: { PATH: process.env.PATH ?? "", HOME: this.data, ...this.env },
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    this.process = child;
    await new Promise<void>((resolve, reject) => {
      const read = (chunk: Buffer) => {
        this.output += chunk.toString();
        if (/level=INFO msg=serving/.test(this.output)) resolve();
      };
      child.stdout?.on("data", read);
      child.stderr?.on("data", read);
      child.on("exit", (code) => reject(new Error(`warder ended with ${code}:\n${this.output}`)));
      setTimeout(() => reject(new Error(`warder is not ready after 20 s:\n${this.output}`)), 20_000).unref();
    });
    const at = /listens on http:\/\/[^\s:]+:(\d+)/.exec(this.output)?.[1];
    if (!at) throw new Error(`warder does not say where it listens:\n${this.output}`);
    this.url = `http://localhost:${at}`;
    this.key = /\b(wk_[0-9a-f_]+)/.exec(this.output)?.[1] ?? this.key;
    const link = /(\/setup#token=[\w-]+)/.exec(this.output)?.[1];
    this.setupLink = link ? this.url + link : this.setupLink;
    return this;
  }

  /** Ends it, by SIGTERM or at once, and waits until it is gone. */
  async stop(signal: NodeJS.Signals = "SIGTERM") {
    const child = this.process;
    this.process = undefined;
    if (!child || child.exitCode !== null) return;
    child.removeAllListeners("exit");
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await gone;
  }

  async end() {
    await this.stop();
    rmSync(this.data, { recursive: true, force: true });
  }

  /** Runs a command of the command line against it and returns its output. */
  cli(args: string[], input = ""): string {
    const [command, ...rest] = args;
    const sub =
      rest[0] &&
      !rest[0].startsWith("-") &&
      ["operator", "key", "policy", "audit", "alert", "export"].includes(command ?? "")
        ? [rest.shift() as string]
        : [];
    const run = spawnSync(binary, [command as string, ...sub, "--data", this.data, ...rest], {
      input,
      encoding: "utf8",
    });
    if (run.status !== 0)
      throw new Error(`warder ${args.join(" ")}: ${run.status}\n${run.stdout}${run.stderr}`);
    return run.stdout;
  }

  /** A call with the API key, as an application makes it. */
  async call(method: string, path: string, body?: unknown) {
    const answer = await fetch(this.url + path, {
      method,
      headers: { Authorization: `Bearer ${this.key}`, "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    // biome-ignore lint/suspicious/noExplicitAny: tests look at what they expect
    return (text ? JSON.parse(text) : undefined) as any;
  }

  /** Reports failures of one address, as many as the threshold, and returns the last decision. */
  async attack(ip: string, times = 5, account = "alice") {
    let last: { decision: { action: string; reference?: string } } | undefined;
    for (let i = 0; i < times; i++) {
      last = await this.call("POST", "/v1/events", {
        name: "USER_LOGIN_FAILURE",
        ip,
        account,
        realm: "user",
        reason: "wrong_password",
        path: "/login",
        user_agent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0",
      });
    }
    return last as NonNullable<typeof last>;
  }
}

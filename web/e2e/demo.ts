// The demo of the built binary: Warder with a sample platform behind its gate,
// on free ports, with nobody else there.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const binary = fileURLToPath(new URL("../../bin/warder", import.meta.url));

export class Demo {
  front = "";
  dashboard = "";
  owner = { email: "", password: "" };
  /** Where one visits the platform from. */
  readonly place = { attacker: "", office: "", home: "" };
  private readonly data = join(mkdtempSync(join(tmpdir(), "warder-demo-")), "data");
  private process?: ChildProcess;
  private output = "";

  async start(smtp: string): Promise<this> {
    const child = spawn(
      binary,
      ["demo", "--port", "0", "--dashboard-port", "0", "--no-traffic", "--no-history"].concat([
        "--smtp",
        smtp,
        "--data",
        this.data,
      ]),
      { env: { PATH: process.env.PATH ?? "", HOME: tmpdir() }, stdio: ["ignore", "pipe", "pipe"] },
    );
    this.process = child;
    await new Promise<void>((resolve, reject) => {
      const read = (chunk: Buffer) => {
        this.output += chunk.toString();
        if (/Nobody else is here/.test(this.output)) resolve();
      };
      child.stdout?.on("data", read);
      child.stderr?.on("data", read);
      child.on("exit", (code) => reject(new Error(`the demo ended with ${code}:\n${this.output}`)));
      setTimeout(
        () => reject(new Error(`the demo is not ready after 50 s:\n${this.output}`)),
        50_000,
      ).unref();
    });
    const said = (what: RegExp) => {
      const found = what.exec(this.output)?.[1];
      if (!found) throw new Error(`the demo does not say ${what}:\n${this.output}`);
      return found;
    };
    this.front = said(/Start here: +(http\S+)/);
    this.dashboard = said(/Dashboard: +(http\S+)/);
    this.owner = { email: said(/e-mail +(\S+)/), password: said(/password +(\S+)/) };
    this.place.attacker = said(/attacker +(http\S+)/);
    this.place.office = said(/office +(http\S+)/);
    this.place.home = said(/home +(http\S+)/);
    return this;
  }

  /** Runs the command that the demo prints for lifting a block. */
  unblock(ip: string) {
    const run = spawnSync(binary, ["unblock", "--data", this.data, "--verdict", "error", ip], {
      encoding: "utf8",
    });
    if (run.status !== 0) throw new Error(`unblock: ${run.stdout}${run.stderr}`);
  }

  async end() {
    const child = this.process;
    if (child && child.exitCode === null) {
      child.removeAllListeners("exit");
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await gone;
    }
    rmSync(join(this.data, ".."), { recursive: true, force: true });
  }
}

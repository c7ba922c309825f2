// The programs that the dashboard shows, run as they are shown: only what they
// say is the application's own (passwordIsRight, openSession) stands around them.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Recipe, snippets } from "../src/lib/snippets";
import { Warder } from "./warder";

const dir = mkdtempSync(join(tmpdir(), "warder-snippets-"));
let warder: Warder;
beforeAll(async () => {
  warder = await new Warder().start();
});
afterAll(async () => {
  await warder?.end();
  rmSync(dir, { recursive: true, force: true });
});

const have = (command: string, ...args: string[]) => spawnSync(command, args).status === 0;
const installed: Record<string, boolean> = {
  curl: have("curl", "--version"),
  go: have("go", "version"),
  python: have("python3", "-c", "import requests"),
  php: have("php", "-r", "exit(extension_loaded('curl') ? 0 : 1);"),
  node: true,
};

const code = (recipe: Recipe, language: string) =>
  snippets(recipe, warder.url, warder.key).find((s) => s.language === language)?.code ?? "";

/** Writes a program, runs it, and returns the lines that it prints. */
function run(name: string, text: string, command: string, ...args: string[]): string[] {
  const file = join(dir, name);
  writeFileSync(file, text);
  const out = spawnSync(command, [...args, file], { encoding: "utf8", timeout: 120_000 });
  expect(out.status, `${command} ${name}: ${out.stdout}${out.stderr}`).toBe(0);
  return out.stdout.trim().split("\n");
}

const goFile = (imports: string, body: string, main: string) =>
  `package main\n\nimport (${imports})\n\n${body}\n\nfunc main() {\n${main}\n}\n`;
const quoted = (names: string) =>
  names
    .split(" ")
    .map((n) => `"${n}"`)
    .join("; ");

// Each reports one wrong password of an address of its own, as it stands there.
const reporters: Record<string, () => string[]> = {
  curl: () => {
    const answer = run("report.sh", code("report", "curl"), "bash").join("");
    return [JSON.parse(answer).decision.action];
  },
  go: () => {
    const shown = code("report", "go");
    const call = /^\/\/ (action, err := .*)$/m.exec(shown)?.[1];
    return run(
      "report.go",
      goFile(
        quoted("bytes context encoding/json errors fmt net/http"),
        shown,
        `\tctx, clientIP := context.Background(), "203.0.113.7"\n\t${call}\n\tif err != nil { panic(err) }\n\tfmt.Println(action)`,
      ),
      "go",
      "run",
    );
  },
  python: () =>
    run("report.py", code("report", "python").replace(/^(report\(.*\))$/m, "print($1)"), "python3"),
  php: () => {
    writeFileSync(join(dir, "before.php"), "<?php $_SERVER['REMOTE_ADDR'] = '203.0.113.7';");
    return run(
      "report.php",
      code("report", "php").replace(/^(report\(.*\));$/m, "echo $1, PHP_EOL;"),
      "php",
      "-d",
      `auto_prepend_file=${join(dir, "before.php")}`,
    );
  },
  node: () =>
    run(
      "report.mjs",
      code("report", "node").replace(/^await report(.*);$/m, "console.log(await report$1);"),
      "node",
    ),
};

// Each lets somebody try five wrong passwords and then the right one, and
// somebody else the right one; an answer a line.
const guards: Record<string, (bad: string, good: string) => string[]> = {
  curl: (bad, good) => {
    const [first = "", second = ""] = code("guard", "curl").split("# 2.");
    const ask = (ip: string, outcome: string) => {
      const a = JSON.parse(run("guard.sh", first.replace("203.0.113.7", ip), "bash").join(""));
      if (!a.attempt) return a.decision.message;
      const end = run(
        "guard.sh",
        `# 2.${second}`.replace("/TOKEN", `/${a.attempt}`).replace('"failure"', `"${outcome}"`),
        "bash",
      ).join("");
      return JSON.parse(end).decision.action === "allow" && outcome === "success" ? "session" : "refused";
    };
    return [...Array(5)].map(() => ask(bad, "failure")).concat(ask(bad, "success"), ask(good, "success"));
  },
  go: (bad, good) =>
    run(
      "guard.go",
      goFile(
        quoted("bytes context encoding/json errors fmt net/http"),
        `${code("guard", "go")}

func passwordIsRight(account, password string) bool { return password == "right" }
func openSession(account string) error { return errors.New("session") }`,
        `\tfor i := range 6 {
\t\tpassword := "right"
\t\tif i < 5 { password = fmt.Sprint("wrong ", i) }
\t\tfmt.Println(signIn(context.Background(), "${bad}", "alice", password))
\t}
\tfmt.Println(signIn(context.Background(), "${good}", "alice", "right"))`,
      ),
      "go",
      "run",
    ),
  python: (bad, good) =>
    run(
      "guard.py",
      `${code("guard", "python")}

def password_is_right(account, password):
    return password == "right"

def open_session(account):
    return "session"

for i in range(6):
    print(sign_in("${bad}", "alice", "right" if i == 5 else f"wrong {i}"))
print(sign_in("${good}", "alice", "right"))
`,
      "python3",
    ),
  php: (bad, good) =>
    run(
      "guard.php",
      `${code("guard", "php")}

function passwordIsRight(string $account, string $password): bool { return $password === 'right'; }
function openSession(string $account): string { return 'session'; }
for ($i = 0; $i < 6; $i++) {
    echo signIn('${bad}', 'alice', $i === 5 ? 'right' : "wrong $i"), PHP_EOL;
}
echo signIn('${good}', 'alice', 'right'), PHP_EOL;
`,
      "php",
    ),
  node: (bad, good) =>
    run(
      "guard.mjs",
      `${code("guard", "node")}

const passwordIsRight = async (account, password) => password === "right";
const openSession = () => ({ refused: "session" });
for (let i = 0; i < 6; i++) console.log((await signIn("${bad}", "alice", i === 5 ? "right" : "wrong " + i)).refused);
console.log((await signIn("${good}", "alice", "right")).refused);
`,
      "node",
    ),
};

const runnable = Object.keys(installed).filter((language) => installed[language]);

describe("the programs that are shown", () => {
  it("report as they stand there", async () => {
    const seen = async () =>
      (await warder.call("GET", "/v1/events?ip=203.0.113.7&name=USER_LOGIN_FAILURE&limit=100")).items.length;
    for (const language of runnable) {
      const before = await seen();
      const [action] = reporters[language]?.() ?? [];
      expect(action, language).toMatch(/^(allow|block)$/); // the fifth of them is one too many
      expect(await seen(), language).toBe(before + 1);
    }
  }, 180_000);

  it("guard as they stand there", () => {
    for (const [i, language] of runnable.entries()) {
      const answers = guards[language]?.(`192.0.2.${10 + i}`, `192.0.2.${110 + i}`) ?? [];
      expect(answers, language).toHaveLength(7);
      for (const wrong of answers.slice(0, 5)) {
        expect(wrong, language).toMatch(/refused|Wrong user name|Access denied/);
      }
      expect(answers[5], language).toMatch(/^Access denied\. Reference \w{4}-\w{4}\.$/);
      expect(answers[6], language).toBe("session");
    }
  }, 180_000);
});

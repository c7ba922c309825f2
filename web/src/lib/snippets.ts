/** Programs that talk to Warder, with the address and the key in their place. */
export type Snippet = { language: string; label: string; code: string };
export type Recipe = "guard" | "report";

export const languages = [
  ["curl", "curl"],
  ["go", "Go"],
  ["python", "Python"],
  ["php", "PHP"],
  ["node", "Node.js"],
] as const;

/** One event by hand: the first thing to try. */
export const curlEvent = (url: string, key: string) => `curl -s ${url}/v1/events \\
  -H 'Authorization: Bearer ${key}' \\
  -H 'Content-Type: application/json' \\
  -d '{"name":"USER_LOGIN_FAILURE","ip":"203.0.113.7","account":"alice","reason":"wrong_password"}'`;

/**
 * guard: announce the sign-in before the password is checked, then say how it
 * ended, so that no more guesses get through than the policy allows, however
 * many come at once. report: tell what happened and obey the answer.
 */
export function snippets(recipe: Recipe, url: string, key: string): Snippet[] {
  const code = recipe === "guard" ? guard(url, key) : report(url, key);
  return languages.map(([language, label]) => ({ language, label, code: code[language] }));
}

type Codes = Record<(typeof languages)[number][0], string>;

const report = (url: string, key: string): Codes => ({
  curl: curlEvent(url, key),
  go: `// report tells Warder what happened; the answer says what to do with the visitor.
func report(ctx context.Context, name, ip, account, reason string) (action string, err error) {
	body, _ := json.Marshal(map[string]string{
		"name": name, "ip": ip, "account": account, "reason": reason,
	})
	req, err := http.NewRequestWithContext(ctx, "POST", "${url}/v1/events", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer ${key}")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", errors.New("warder: " + res.Status)
	}
	var answer struct {
		Decision struct{ Action string }
	}
	err = json.NewDecoder(res.Body).Decode(&answer)
	return answer.Decision.Action, err // allow, challenge, mfa or block
}

// action, err := report(ctx, "USER_LOGIN_FAILURE", clientIP, "alice", "wrong_password")`,
  python: `import requests

def report(name, ip, account, reason=None):
    """Tells Warder what happened; returns allow, challenge, mfa or block."""
    event = {"name": name, "ip": ip, "account": account}
    if reason:
        event["reason"] = reason
    answer = requests.post(
        "${url}/v1/events",
        json=event,
        headers={"Authorization": "Bearer ${key}"},
        timeout=5,
    )
    answer.raise_for_status()
    return answer.json()["decision"]["action"]

report("USER_LOGIN_FAILURE", "203.0.113.7", "alice", "wrong_password")`,
  php: `<?php
// Tells Warder what happened; returns allow, challenge, mfa or block.
function report(string $name, string $ip, string $account, ?string $reason = null): string
{
    $event = array_filter(compact('name', 'ip', 'account', 'reason'));
    $call = curl_init('${url}/v1/events');
    curl_setopt_array($call, [
        CURLOPT_POSTFIELDS => json_encode($event),
        CURLOPT_HTTPHEADER => [
            'Authorization: Bearer ${key}',
            'Content-Type: application/json',
        ],
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 5,
    ]);
    $answer = json_decode((string) curl_exec($call), true);
    return $answer['decision']['action'] ?? throw new RuntimeException('Warder did not answer');
}

report('USER_LOGIN_FAILURE', $_SERVER['REMOTE_ADDR'], 'alice', 'wrong_password');`,
  node: `// Tells Warder what happened; returns allow, challenge, mfa or block.
async function report(name, ip, account, reason) {
  const answer = await fetch("${url}/v1/events", {
    method: "POST",
    headers: {
      Authorization: "Bearer ${key}",
      "Content-Type": "application/json",
    },
    body: JSON.stringify({ name, ip, account, reason }),
    signal: AbortSignal.timeout(5000),
  });
  if (!answer.ok) throw new Error(await answer.text());
  return (await answer.json()).decision.action;
}

await report("USER_LOGIN_FAILURE", "203.0.113.7", "alice", "wrong_password");`,
});

const guard = (url: string, key: string): Codes => ({
  curl: `# 1. Announce the sign-in, before the password is checked.
curl -s ${url}/v1/attempts \\
  -H 'Authorization: Bearer ${key}' \\
  -H 'Content-Type: application/json' \\
  -d '{"event":"USER_LOGIN","ip":"203.0.113.7","account":"alice"}'

# 2. decision.action is allow: check the password, then say how it ended.
#    TOKEN is "attempt" of the first answer; outcome: success, failure or error.
curl -s ${url}/v1/attempts/TOKEN \\
  -H 'Authorization: Bearer ${key}' \\
  -H 'Content-Type: application/json' \\
  -d '{"outcome":"failure","reason":"wrong_password"}'`,
  go: `type answer struct {
	Attempt  string
	Decision struct{ Action, Message string }
}

func warder(ctx context.Context, path string, in any) (out answer, err error) {
	body, _ := json.Marshal(in)
	req, err := http.NewRequestWithContext(ctx, "POST", "${url}"+path, bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	req.Header.Set("Authorization", "Bearer ${key}")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return out, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return out, errors.New("warder: " + res.Status)
	}
	return out, json.NewDecoder(res.Body).Decode(&out)
}

func signIn(ctx context.Context, ip, account, password string) error {
	a, err := warder(ctx, "/v1/attempts", map[string]any{"event": "USER_LOGIN", "ip": ip, "account": account})
	if err != nil {
		return err // Warder is away: decide yourself whether to go on
	}
	if a.Decision.Action != "allow" {
		return errors.New(a.Decision.Message) // show a CAPTCHA, ask for MFA, or refuse
	}
	outcome := "failure"
	if passwordIsRight(account, password) {
		outcome = "success"
	}
	end, err := warder(ctx, "/v1/attempts/"+a.Attempt, map[string]any{"outcome": outcome})
	if err != nil || outcome == "failure" || end.Decision.Action != "allow" {
		return errors.New("sign-in refused") // the last decision is final: open no session
	}
	return openSession(account)
}`,
  python: `import requests

def warder(path, body):
    answer = requests.post(
        "${url}" + path,
        json=body,
        headers={"Authorization": "Bearer ${key}"},
        timeout=15,
    )
    answer.raise_for_status()
    return answer.json()

def sign_in(ip, account, password):
    a = warder("/v1/attempts", {"event": "USER_LOGIN", "ip": ip, "account": account})
    if a["decision"]["action"] != "allow":
        # challenge: show a CAPTCHA; mfa: ask for a second factor; block: refuse
        return a["decision"]["message"]
    right = password_is_right(account, password)
    end = warder("/v1/attempts/" + a["attempt"], {"outcome": "success" if right else "failure"})
    if right and end["decision"]["action"] == "allow":
        return open_session(account)
    return "Wrong user name or password."`,
  php: `<?php
function warder(string $path, array $body): array
{
    $call = curl_init('${url}' . $path);
    curl_setopt_array($call, [
        CURLOPT_POSTFIELDS => json_encode($body),
        CURLOPT_HTTPHEADER => [
            'Authorization: Bearer ${key}',
            'Content-Type: application/json',
        ],
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 15,
    ]);
    $answer = json_decode((string) curl_exec($call), true);
    return isset($answer['decision']) ? $answer : throw new RuntimeException('Warder did not answer');
}

function signIn(string $ip, string $account, string $password): string
{
    $a = warder('/v1/attempts', ['event' => 'USER_LOGIN', 'ip' => $ip, 'account' => $account]);
    if ($a['decision']['action'] !== 'allow') {
        // challenge: show a CAPTCHA; mfa: ask for a second factor; block: refuse
        return $a['decision']['message'];
    }
    $right = passwordIsRight($account, $password);
    $end = warder('/v1/attempts/' . $a['attempt'], ['outcome' => $right ? 'success' : 'failure']);
    if ($right && $end['decision']['action'] === 'allow') {
        return openSession($account);
    }
    return 'Wrong user name or password.';
}`,
  node: `async function warder(path, body) {
  const answer = await fetch("${url}" + path, {
    method: "POST",
    headers: {
      Authorization: "Bearer ${key}",
      "Content-Type": "application/json",
    },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(15_000),
  });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

async function signIn(ip, account, password) {
  const a = await warder("/v1/attempts", { event: "USER_LOGIN", ip, account });
  if (a.decision.action !== "allow") {
    // challenge: show a CAPTCHA; mfa: ask for a second factor; block: refuse
    return { refused: a.decision.message };
  }
  const right = await passwordIsRight(account, password);
  const end = await warder("/v1/attempts/" + a.attempt, { outcome: right ? "success" : "failure" });
  if (right && end.decision.action === "allow") return openSession(account);
  return { refused: "Wrong user name or password." };
}`,
});

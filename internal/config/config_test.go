package config

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var compare = cmpopts.EquateComparable(netip.Prefix{})

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The file that the contract prints is the default, except for the name of a
// password file.
const contract = `
listen: 127.0.0.1:8420
public_url: ""                # where end users reach /.warder/ pages
public_listen: ""
tls: {cert: "", key: ""}
data: ./data
database: ""                  # empty: SQLite in data; or postgres://...
trusted_proxies: []           # /0 is refused
client_ip_header: X-Forwarded-For
never_block: []
protect_loopback: true
policy_file: ""               # set: the file rules and the dashboard shows it read-only
smtp: {host: "", port: 587, tls: starttls, user: "", password_file: "", from: "", to: []}
retention: {events_days: 400, max_size: 20GiB}
limits: {counters: 128MiB, body: 1MiB, batch: 8MiB}
sites: []                     # the gate
log: {level: info, format: text}
`

func TestPrintedDefaultsAreTheDefaults(t *testing.T) {
	got, err := Load(write(t, "warder.yaml", contract), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), got, compare, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Config{}, "Set")); diff != "" {
		t.Errorf("(-default +contract)\n%s", diff)
	}
	for _, empty := range []string{"", "# nothing\n", "---\n", "smtp:\ntrusted_proxies:\n"} {
		got, err := Load(write(t, "warder.yaml", empty), nil, nil)
		if err != nil {
			t.Fatalf("%q: %v", empty, err)
		}
		if diff := cmp.Diff(Default(), got, compare); diff != "" {
			t.Errorf("%q: (-default +got)\n%s", empty, diff)
		}
	}
}

func TestEverySettingFromFileAndEnvironment(t *testing.T) {
	secret := write(t, "password", "s3cret: yes\n")
	want := &Config{
		Listen:          "[::1]:9000",
		PublicURL:       "https://warder.example.org",
		PublicListen:    "127.0.0.1:9001",
		TLS:             TLS{Cert: "/c", Key: "/k"},
		Data:            "/var/lib/warder",
		TrustedProxies:  []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::1/128")},
		ClientIPHeader:  "X-Real-Ip",
		NeverBlock:      []netip.Prefix{netip.MustParsePrefix("2001:db8:1:2::/64")},
		ProtectLoopback: false,
		PolicyFile:      "/p",
		SMTP: SMTP{
			Host: "mail.example.org", Port: 465, TLS: "implicit", User: "u", Password: "s3cret: yes",
			From: "Warder <warder@example.org>", To: []string{"a@example.org", "b@example.org"},
		},
		Outbound:  Outbound{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24"), netip.MustParsePrefix("fd00::1/128")}},
		Retention: Retention{EventsDays: 30, MaxSize: 1 << 30},
		Limits:    Limits{Counters: 64 << 20, Body: 64 << 10, Batch: 1 << 20},
		Challenge: Challenge{
			Provider: "turnstile", SiteKey: "site", Secret: "s3cret: yes", Server: "https://captcha.example.org", Fallback: "always",
			Difficulty: 12, Origins: []string{"https://www.example.org", "https://shop.example.org"},
		},
		Log: Log{Level: slog.LevelDebug, Format: "json"},
	}
	file := `
listen: "[::1]:9000"
public_url: https://warder.example.org/
public_listen: 127.0.0.1:9001
tls: {cert: /c, key: /k}
data: /var/lib/warder
trusted_proxies: [10.0.0.0/8, "2001:db8::1", 10.0.0.0/8]
client_ip_header: x-real-ip
never_block: ["2001:db8:1:2::9"]
protect_loopback: false
policy_file: /p
smtp: {host: mail.example.org, port: 465, tls: implicit, user: u, password_file: ` + secret + `, from: Warder <warder@example.org>, to: [a@example.org, b@example.org]}
outbound: {allow_private: [192.168.7.0/24, "fd00::1"]}
retention: {events_days: 30, max_size: 1GiB}
limits: {counters: 64MiB, body: 65536, batch: 1024KiB}
challenge: {provider: turnstile, site_key: site, secret_file: ` + secret + `, server: https://captcha.example.org, fallback: always, difficulty: 12, origins: [https://www.example.org, https://shop.example.org]}
log: {level: debug, format: json}
`
	env := []string{
		"WARDER_LISTEN=[::1]:9000", "WARDER_PUBLIC_URL=https://warder.example.org",
		"WARDER_TLS_CERT=/c", "WARDER_TLS_KEY=/k", "WARDER_DATA=/var/lib/warder",
		"WARDER_TRUSTED_PROXIES=10.0.0.0/8, 2001:db8::1", "WARDER_CLIENT_IP_HEADER=X-Real-IP",
		"WARDER_NEVER_BLOCK=2001:db8:1:2::9", "WARDER_PROTECT_LOOPBACK=false", "WARDER_POLICY_FILE=/p",
		"WARDER_SMTP_HOST=mail.example.org", "WARDER_SMTP_PORT=465", "WARDER_SMTP_TLS=implicit",
		"WARDER_SMTP_USER=u", "WARDER_SMTP_PASSWORD_FILE=" + secret,
		"WARDER_SMTP_FROM=Warder <warder@example.org>", "WARDER_SMTP_TO=a@example.org,b@example.org",
		"WARDER_OUTBOUND_ALLOW_PRIVATE=192.168.7.0/24,fd00::1",
		"WARDER_RETENTION_EVENTS_DAYS=30", "WARDER_RETENTION_MAX_SIZE=1GiB",
		"WARDER_LIMITS_COUNTERS=64MiB", "WARDER_LIMITS_BODY=64KiB", "WARDER_LIMITS_BATCH=1MiB",
		"WARDER_PUBLIC_LISTEN=127.0.0.1:9001", "WARDER_CHALLENGE_PROVIDER=turnstile", "WARDER_CHALLENGE_SITE_KEY=site",
		"WARDER_CHALLENGE_SECRET_FILE=" + secret, "WARDER_CHALLENGE_SERVER=https://captcha.example.org", "WARDER_CHALLENGE_FALLBACK=always",
		"WARDER_CHALLENGE_DIFFICULTY=12", "WARDER_CHALLENGE_ORIGINS=https://www.example.org,https://shop.example.org",
		"WARDER_LOG_LEVEL=debug", "WARDER_LOG_FORMAT=json",
		"WARDER_CONFIG=/etc/warder.yaml", "PATH=/bin",
	}
	for name, got := range map[string]func() (*Config, error){
		"file":        func() (*Config, error) { return Load(write(t, "warder.yaml", file), nil, nil) },
		"environment": func() (*Config, error) { return Load("", env, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			c, err := got()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, c, compare, cmpopts.IgnoreFields(Config{}, "Set")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if len(c.Set) != 33 || c.Set[0] != "challenge.difficulty" { // what the dashboard shows as read-only
				t.Errorf("set: %q", c.Set)
			}
		})
	}
}

func TestPrecedence(t *testing.T) {
	path := write(t, "warder.yaml", "listen: 127.0.0.1:1\ndata: /file\nsmtp: {user: u, password_file: "+
		write(t, "pw", "file")+"}\n")
	env := []string{"WARDER_LISTEN=127.0.0.1:2", "WARDER_DATA=/env", "WARDER_SMTP_PASSWORD=env", "WARDER_PORT=tcp://1"}
	c, err := Load(path, env, map[string]string{"listen": "127.0.0.1:3"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:3" || c.Data != "/env" || c.SMTP.Password != "env" {
		t.Errorf("got %q %q %q, want flag over environment over file", c.Listen, c.Data, c.SMTP.Password)
	}
	if diff := cmp.Diff([]string{"WARDER_PORT"}, c.Ignored); diff != "" {
		t.Errorf("ignored: %s", diff)
	}
}

func TestFaultsNameTheirPlace(t *testing.T) {
	tests := map[string]struct {
		file  string
		env   []string
		flags map[string]string
		want  []string
	}{
		"not yaml":       {file: "a: [", want: []string{"file: must be YAML"}},
		"not a mapping":  {file: "- a", want: []string{"file: must be a mapping"}},
		"two documents":  {file: "data: a\n---\ndata: b\n", want: []string{"file: must hold one YAML document"}},
		"unknown":        {file: "lissten: x\n", want: []string{"lissten (line 1): is not a setting, did you mean listen?"}},
		"unknown nested": {file: "smtp:\n  hoost: x\n", want: []string{"smtp.hoost (line 2): is not a setting, did you mean smtp.host?"}},
		"twice":          {file: "data: a\ndata: b\n", want: []string{"data"}},
		"wrong types": {
			file: "listen: [a]\nsmtp: x\nprotect_loopback: \"true\"\ntrusted_proxies: 10.0.0.1\nretention: {events_days: many}\n",
			want: []string{"listen (line 1): must be a text", "smtp (line 2): must be a mapping", "protect_loopback (line 3): must be true or false", "trusted_proxies (line 4): must be a list", "retention.events_days (line 5): must be a number"},
		},
		"everybody is trusted":         {file: "trusted_proxies: [0.0.0.0/0]\n", want: []string{"trusted_proxies (line 1): entry 1: must not be 0.0.0.0/0"}},
		"everybody is trusted, v6":     {env: []string{"WARDER_TRUSTED_PROXIES=10.0.0.1,::/0"}, want: []string{"WARDER_TRUSTED_PROXIES: entry 2: must not be ::/0"}},
		"everybody is trusted, 4in6":   {env: []string{"WARDER_TRUSTED_PROXIES=::ffff:0:0/96"}, want: []string{"WARDER_TRUSTED_PROXIES: entry 1: must not be 0.0.0.0/0"}},
		"everybody chooses an address": {file: "client_ip_header: Cookie\n", want: []string{"client_ip_header (line 1): Cookie says something else"}},
		"half the world is trusted":    {file: "trusted_proxies: [128.0.0.0/1]\n", want: []string{"trusted_proxies (line 1): entry 1: must not be wider than /8"}},
		"everything may be reached":    {file: "outbound: {allow_private: [0.0.0.0/0]}\n", want: []string{"outbound.allow_private (line 1): entry 1: must not be 0.0.0.0/0"}},
		"nobody is ever blocked":       {file: "never_block: [\"::/0\"]\n", want: []string{"never_block (line 1): entry 1: must not be ::/0"}},
		"bits beyond the prefix":       {file: "never_block: [10.0.0.1/8]\n", want: []string{"never_block (line 1): entry 1: has bits set beyond"}},
		"half of TLS":                  {file: "tls: {cert: a}\n", want: []string{"tls.key: is required with tls.cert"}},
		"host without sender":          {file: "smtp: {host: a}\n", want: []string{"smtp.from: is required with smtp.host"}},
		"password in clear":            {file: "smtp: {host: a, from: a@b.c, tls: none, user: u, password: p}\n", want: []string{"smtp.tls (line 1): must not be none"}},
		"password twice":               {file: "smtp: {user: u, password: a, password_file: b}\n", want: []string{"smtp.password_file (line 1): must not be given together"}},
		"password twice, environment":  {env: []string{"WARDER_SMTP_PASSWORD=a", "WARDER_SMTP_PASSWORD_FILE=b"}, want: []string{"WARDER_SMTP_PASSWORD: must not be set together"}},
		"no password file":             {file: "smtp: {user: u, password_file: /does/not/exist}\n", want: []string{"smtp.password_file (line 1): open /does/not/exist"}},
		"sizes":                        {file: "limits: {counters: 1MB, body: 1KiB, batch: -1}\n", want: []string{"limits.counters (line 1): must be a size", "limits.body (line 1): must be from 64KiB to 64MiB", "limits.batch (line 1): must be a size"}},
		"flag":                         {flags: map[string]string{"listen": "8420"}, want: []string{"--listen: must be address:port"}},
		"features to come":             {file: "database: postgres://x\nsmtp: {}\n", want: []string{"database (line 1): must be empty"}},
		"public_listen":                {file: "public_listen: 127.0.0.1:8420\n", want: []string{"public_listen (line 1): must not be the address of listen"}},
		"challenge without keys":       {file: "challenge: {provider: turnstile}\n", want: []string{"challenge.provider (line 1): needs challenge.site_key and challenge.secret"}},
		"challenge without a service":  {file: "challenge: {site_key: a, secret: b}\n", want: []string{"challenge.provider: must name the service"}},
		"challenge":                    {file: "challenge: {provider: x, difficulty: 99, fallback: never, server: ftp://x, origins: [www.example.org]}\n", want: []string{"challenge.provider (line 1): must be one of", "challenge.difficulty (line 1): must be a number from 8 to 24", "challenge.fallback (line 1): must be one of outage, always", "challenge.server (line 1): must be a URL", "challenge.origins (line 1): must be origins"}},
		"sites, no list":               {file: "sites: 1\n", want: []string{"sites (line 1): must be a list of sites"}},
		"sites":                        {file: "sites:\n  - a\n  - {listen: \":80\"}\n  - {upstream: \"ftp://x\", listen: x, tls: {cert: a, keys: b}, profil: y, name: \"a b\", timeout: 0, on_failure: maybe, origins: [x]}\n", want: []string{"sites[0] (line 2): must be a mapping", "sites[1].upstream (line 3): is required", "sites[2].upstream (line 4): must be a URL", "sites[2].listen (line 4): must be address:port", "sites[2].tls.keys (line 4): is not a setting of a site", "sites[2].profil (line 4): is not", "sites[2].name (line 4): must be letters", "sites[2].timeout (line 4): must be a number", "sites[2].on_failure (line 4): must be one of closed, open", "sites[2].origins (line 4): must be origins"}},
		"sites twice":                  {file: "sites:\n  - {listen: \":80\", upstream: \"http://a\"}\n  - {listen: \":80\", upstream: \"http://a\"}\n", want: []string{"sites[1].name (line 3): a is the name of another site", "sites[1].listen (line 3): :80 is another site's"}},
		"sites in the environment":     {env: []string{"WARDER_SITES=a"}, want: []string{"WARDER_SITES: must be given in the configuration file"}},
		"all at once":                  {file: "listen: x\nlog: {level: loud}\n", env: []string{"WARDER_SMTP_PORT=0"}, want: []string{"listen (line 1)", "log.level (line 2)", "WARDER_SMTP_PORT: must be a number from 1 to 65535"}},
		"alias":                        {file: "data: &a x\nlisten: *a\n", want: []string{"listen (line 2): must be a text"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := ""
			if tt.file != "" {
				path = write(t, "warder.yaml", tt.file)
			}
			_, err := Load(path, tt.env, tt.flags)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not contain %q:\n%s", want, err)
				}
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Error("a secret is printed")
			}
		})
	}
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "512": 512, "512B": 512, "64KiB": 64 << 10, "128 MiB": 128 << 20, "20GiB": 20 << 30, "1TiB": 1 << 40} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "B", "MiB", "1MB", "1.5GiB", "-1", "+1KiB", "9999999TiB", "1 0KiB", "0x10", "1_000"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", in, got)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(contract))
	f.Add([]byte("smtp: {password_file: x}\n? [a]\n: b\nlisten: &a [*a]\n"))
	f.Add([]byte("a: !!binary x\nlimits: {counters: 9999999999999999999TiB}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), "_file") {
			t.Skip() // would open files
		}
		l := loader{config: Default(), origin: map[string]string{}}
		l.file(data)
		l.check()
		for _, fault := range l.faults {
			if fault.Location == "" || fault.Message == "" || len(fault.Message) > 2000 {
				t.Errorf("fault %+v", fault)
			}
		}
		if len(l.faults) > 0 {
			return
		}
		c := l.config
		for _, p := range slices.Concat(c.TrustedProxies, c.NeverBlock, c.Outbound.AllowPrivate) {
			if !p.IsValid() || p.Bits() == 0 || p != p.Masked() {
				t.Errorf("prefix %s accepted", p)
			}
		}
		if c.Limits.Body <= 0 || c.Limits.Batch < c.Limits.Body || c.SMTP.Port < 1 || c.Retention.EventsDays < 1 || checkListen(c.Listen) != nil {
			t.Errorf("accepted %+v", c)
		}
	})
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"0", "128MiB", "20GiB", "1 B", "9223372036854775807"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err != nil {
			return
		}
		if again, err := ParseSize(FormatSize(n)); n < 0 || err != nil || again != n {
			t.Errorf("ParseSize(%q) = %d, printed %s, read again %d, %v", s, n, FormatSize(n), again, err)
		}
	})
}

// The page for operators names every setting and its variable.
func TestEverySettingIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		for _, name := range []string{s.name, Env(s.name)} {
			if !strings.Contains(string(page), "`"+name+"`") {
				t.Errorf("docs/configuration.md does not name %s", name)
			}
		}
	}
}

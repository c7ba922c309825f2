package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/alert"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
	"github.com/warderhq/warder/internal/totp"
)

// tab is a browser on the dashboard: cookies of its own, and the headers that
// browsers send.
type tab struct {
	h      *whole
	base   string
	jar    *cookiejar.Jar
	client *http.Client
	header map[string]string
	last   string // body of the last answer
	answer http.Header
}

const (
	ann      = "ann@example.org"
	password = "correct horse battery"
)

func (h *whole) tab(t *testing.T) *tab {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	base := strings.Replace(h.url, "127.0.0.1", "localhost", 1)
	b := &tab{h: h, base: base, jar: jar, client: &http.Client{Jar: jar}, header: map[string]string{
		"Sec-Fetch-Site": "same-origin", "Origin": base, "User-Agent": "Browser/1.0",
	}}
	t.Cleanup(b.client.CloseIdleConnections)
	return b
}

// send makes a call and returns the status.
func (b *tab) send(t *testing.T, method, path string, in, out any) int {
	t.Helper()
	var text []byte
	if in != nil {
		var err error
		if text, err = json.Marshal(in); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, b.base+path, strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range b.header {
		req.Header.Set(name, value)
	}
	res, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	b.last, b.answer = string(data), res.Header
	if out != nil && res.StatusCode < 300 {
		if err := json.Unmarshal(data, out); err != nil {
			t.Fatalf("%s %s: %s: %v", method, path, data, err)
		}
	}
	return res.StatusCode
}

func (b *tab) want(t *testing.T, status int, method, path string, in, out any) {
	t.Helper()
	if got := b.send(t, method, path, in, out); got != status {
		t.Fatalf("%s %s: %d, want %d: %s", method, path, got, status, b.last)
	}
}

func (b *tab) cookie(t *testing.T, name string) string {
	t.Helper()
	u, err := url.Parse(b.base)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *tab) plant(t *testing.T, name, value string) {
	t.Helper()
	u, err := url.Parse(b.base)
	if err != nil {
		t.Fatal(err)
	}
	b.jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

// hire makes an operator.
func (h *whole) hire(t *testing.T, email string, role operator.Role) operator.Operator {
	t.Helper()
	o, err := h.opts.People.Create(t.Context(), email, string(role), password, operator.Change{Actor: "cli:0", At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (b *tab) signIn(t *testing.T, email string) SignInState {
	t.Helper()
	var state SignInState
	b.want(t, 200, "POST", "/v1/session", SignInBody{Email: email, Password: password}, &state)
	return state
}

// TestSetUpRace: of fifty set-ups at once one wins, and the link is worth
// nothing afterwards.
func TestSetUpRace(t *testing.T) {
	h := newWhole(t)
	token, err := h.opts.People.BeginSetup(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	first := h.tab(t)
	var view SetupView
	first.want(t, 200, "GET", "/v1/setup?token=wrong", nil, &view)
	if !view.Needed || view.TokenOK || view.Client != nil || len(view.Presets) != 0 || view.Problem == "" {
		t.Errorf("with a wrong token: %+v", view)
	}
	first.want(t, 200, "GET", "/v1/setup?token="+token, nil, &view)
	if !view.TokenOK || view.Client == nil || view.Client.Peer == "" || len(view.Presets) == 0 {
		t.Errorf("with the token: %+v", view)
	}
	first.want(t, 403, "POST", "/v1/setup", SetupBody{Token: strings.Repeat("x", 43), Email: ann, Password: password}, nil)
	first.want(t, 422, "POST", "/v1/setup", SetupBody{Token: token, Email: "ann", Password: "short"}, nil)
	first.want(t, 422, "POST", "/v1/setup", SetupBody{Token: token, Email: ann, Password: password, Preset: "none"}, nil)
	var wg sync.WaitGroup
	statuses := make(chan int, 50)
	tabs := make([]*tab, 50)
	for i := range tabs {
		tabs[i] = h.tab(t)
		wg.Go(func() {
			body := SetupBody{Token: token, Email: fmt.Sprintf("owner%d@example.org", i), Password: password, Preset: "balanced", IPsum: true}
			statuses <- tabs[i].send(t, "POST", "/v1/setup", body, nil)
		})
	}
	wg.Wait()
	close(statuses)
	count := map[int]int{}
	for s := range statuses {
		count[s]++
	}
	if count[201] != 1 || count[201]+count[403]+count[409] != 50 {
		t.Errorf("answers %v, want one 201", count)
	}
	signedIn := 0
	for _, b := range tabs {
		var state SignInState
		b.want(t, 200, "GET", "/v1/session", nil, &state)
		if state.State == "signed_in" {
			signedIn++
			if state.Operator.Role != operator.Owner {
				t.Errorf("%+v", state.Operator)
			}
			var doc string
			h.want(t, 200, "GET", "/v1/policy", "", &doc)
			if !strings.Contains(doc, `"name":"ipsum","enabled":true`) {
				t.Errorf("ipsum is not switched on: %s", clip(doc, 400))
			}
		}
	}
	all, err := h.opts.People.List(t.Context())
	if err != nil || len(all) != 1 || signedIn != 1 {
		t.Errorf("%d owners, %d signed in, %v", len(all), signedIn, err)
	}
	if token, err := h.opts.People.BeginSetup(t.Context(), time.Now()); token != "" || err != nil {
		t.Errorf("a second set-up begins: %v", err)
	}
}

// TestSetUpLinkEnds after a day, at the next start, and when an owner is made
// by the command line.
func TestSetUpLinkEnds(t *testing.T) {
	h := newWhole(t)
	now := time.Now()
	people := h.opts.People
	token, err := people.BeginSetup(t.Context(), now)
	if err != nil || !people.SetupToken(token, now.Add(operator.SetupLife-time.Second)) || people.SetupToken(token, now.Add(operator.SetupLife)) {
		t.Error("the link does not end after a day", err)
	}
	next, _ := people.BeginSetup(t.Context(), now)
	if people.SetupToken(token, now) || !people.SetupToken(next, now) {
		t.Error("the link of an earlier start works")
	}
	h.hire(t, ann, operator.Owner)
	h.tab(t).want(t, 409, "POST", "/v1/setup", SetupBody{Token: next, Email: "eve@example.org", Password: password}, nil)
}

// TestSignInChangesTheToken: nobody can plant a session, and every change of
// what it may do makes a new one.
func TestSignInChangesTheToken(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	b := h.tab(t)
	planted := operator.NewDevice()
	b.plant(t, cookieName, planted)
	var state SignInState
	b.want(t, 200, "GET", "/v1/session", nil, &state)
	if state.State != "none" || state.SetupNeeded {
		t.Errorf("%+v", state)
	}
	b.want(t, 401, "GET", "/v1/me", nil, nil)
	state = b.signIn(t, ann)
	one := b.cookie(t, cookieName)
	if state.State != "signed_in" || state.Operator.Email != ann || one == planted || len(one) != 43 {
		t.Errorf("%+v, cookie %q", state, one)
	}
	set := b.answer.Values("Set-Cookie")
	if len(set) != 2 || !strings.Contains(set[0], "HttpOnly") || !strings.Contains(set[0], "SameSite=Strict") || !strings.Contains(set[0], "Path=/") {
		t.Errorf("cookies %q", set)
	}
	b.want(t, 200, "GET", "/v1/me", nil, nil)
	b.signIn(t, ann)
	two := b.cookie(t, cookieName)
	b.want(t, 200, "POST", "/v1/me/password", NewPasswordBody{Current: password, New: "an even longer passphrase"}, nil)
	three := b.cookie(t, cookieName)
	if one == two || two == three {
		t.Error("the token stayed the same")
	}
	for _, old := range []string{one, two} {
		other := h.tab(t)
		other.plant(t, cookieName, old)
		other.want(t, 401, "GET", "/v1/me", nil, nil)
	}
	var secrets int
	rows, err := h.opts.People.Sessions(t.Context(), state.Operator.ID, time.Now())
	for _, s := range rows {
		if s.ID == three {
			secrets++
		}
	}
	if err != nil || len(rows) != 1 || secrets != 0 {
		t.Errorf("%d sessions, %v", len(rows), err)
	}
	b.want(t, 204, "DELETE", "/v1/session", nil, nil)
	if b.answer.Get("Clear-Site-Data") != `"cache"` || b.cookie(t, cookieName) != "" {
		t.Errorf("after signing out: %v", b.answer)
	}
	b.plant(t, cookieName, three)
	b.want(t, 401, "GET", "/v1/me", nil, nil)
}

// TestWrongPasswordTellsNothing: the answer is the same whoever it is about.
func TestWrongPasswordTellsNothing(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	off := h.hire(t, "off@example.org", operator.Viewer)
	if _, err := h.opts.People.SetActive(t.Context(), off.ID, false, operator.Change{At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, in := range []SignInBody{
		{Email: ann, Password: "wrong"},
		{Email: "nobody@example.org", Password: password},
		{Email: "off@example.org", Password: password},
		{Email: "not an address", Password: password},
		{Email: off.ID, Password: password},
	} {
		b := h.tab(t)
		b.want(t, 401, "POST", "/v1/session", in, nil)
		texts = append(texts, b.last)
		if b.cookie(t, cookieName) != "" {
			t.Error("a cookie was set")
		}
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("%s differs from %s", text, texts[0])
		}
	}
	var list Items[EventView]
	h.want(t, 200, "GET", "/v1/events?realm=warder&name=ADMIN_LOGIN_FAILURE", "", &list)
	if len(list.Items) != 5 || list.Items[4].Account != ann || list.Items[4].Reason != "wrong_password" || list.Items[0].Reason != "unknown_account" {
		t.Errorf("events %+v", list.Items)
	}
}

func (b *tab) enroll(t *testing.T) (secret string, codes []string, step int64) {
	t.Helper()
	var made NewTOTP
	b.want(t, 200, "POST", "/v1/me/totp", nil, &made)
	if len(made.QR) < 21 || !strings.HasPrefix(made.URI, "otpauth://totp/") {
		t.Errorf("%+v", made)
	}
	step = totp.Step(time.Now())
	var rec RecoveryCodes
	b.want(t, 422, "POST", "/v1/me/totp/confirm", CodeBody{Code: "000000x"}, nil)
	b.want(t, 200, "POST", "/v1/me/totp/confirm", CodeBody{Code: codeOf(t, made.Secret, step)}, &rec)
	return made.Secret, rec.RecoveryCodes, step
}

func codeOf(t *testing.T, secret string, step int64) string {
	t.Helper()
	raw, err := totp.Parse(secret)
	if err != nil {
		t.Fatal(err)
	}
	code, err := totp.Code(raw, step)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// TestTOTP: the code is wanted, works once, and not even fifty at once get in
// by the same.
func TestTOTP(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	b := h.tab(t)
	b.signIn(t, ann)
	secret, codes, step := b.enroll(t)
	if len(codes) != 10 {
		t.Fatalf("recovery codes %v", codes)
	}
	b.want(t, 409, "POST", "/v1/me/totp", nil, nil)
	tabs := make([]*tab, 20)
	for i := range tabs {
		tabs[i] = h.tab(t)
		tabs[i].plant(t, deviceCookieName, b.cookie(t, deviceCookieName))
		state := tabs[i].signIn(t, ann)
		if state.State != "second_factor" || state.Operator != nil || strings.Join(state.Methods, " ") != "totp recovery" {
			t.Fatalf("%+v", state)
		}
		tabs[i].want(t, 401, "GET", "/v1/me", nil, nil)
		tabs[i].want(t, 401, "GET", "/v1/events", nil, nil)
	}
	tabs[0].want(t, 401, "POST", "/v1/session/totp", CodeBody{Code: codeOf(t, secret, step)}, nil) // confirmed by it
	before := tabs[1].cookie(t, cookieName)
	code := codeOf(t, secret, step+1)
	var wg sync.WaitGroup
	var mu sync.Mutex
	count := map[int]int{}
	for _, one := range tabs[1:9] {
		wg.Go(func() {
			status := one.send(t, "POST", "/v1/session/totp", CodeBody{Code: code}, nil)
			mu.Lock()
			defer mu.Unlock()
			count[status]++
		})
	}
	wg.Wait()
	if count[200] != 1 {
		t.Errorf("one code signed in %v", count)
	}
	for _, one := range tabs[1:9] {
		var state SignInState
		one.want(t, 200, "GET", "/v1/session", nil, &state)
		if state.State == "signed_in" && one.cookie(t, cookieName) == before {
			t.Error("the token stayed the same")
		}
	}
	var list Items[EventView]
	h.want(t, 200, "GET", "/v1/events?realm=warder&name=MFA_SUCCESS", "", &list)
	if len(list.Items) != 1 || !list.Items[0].Completed {
		t.Errorf("events %+v", list.Items)
	}
	h.want(t, 200, "GET", "/v1/events?realm=warder&name=MFA_FAILURE", "", &list)
	if len(list.Items) == 0 || list.Items[0].Reason != "mfa_failed" {
		t.Errorf("events %+v", list.Items)
	}
	// A password alone makes no device known.
	h.want(t, 200, "GET", "/v1/events?realm=warder&name=ADMIN_LOGIN_SUCCESS&limit=1", "", &list)
	if list.Items[0].Completed {
		t.Error("the password alone completed a sign-in")
	}
	b.want(t, 422, "DELETE", "/v1/me/totp", PasswordBody{Password: "wrong"}, nil)
	b.want(t, 204, "DELETE", "/v1/me/totp", PasswordBody{Password: password}, nil)
	if state := h.tab(t).signIn(t, ann); state.State != "signed_in" || state.Operator.RecoveryCodes != 0 {
		t.Errorf("after the factor was removed: %+v", state)
	}
}

// TestRecoveryCodes work once each, however they are typed; new ones end them.
func TestRecoveryCodes(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	b := h.tab(t)
	b.signIn(t, ann)
	_, codes, _ := b.enroll(t)
	use := func(code string, status int) {
		t.Helper()
		one := h.tab(t)
		one.plant(t, deviceCookieName, b.cookie(t, deviceCookieName))
		one.signIn(t, ann)
		one.want(t, status, "POST", "/v1/session/recovery", CodeBody{Code: code}, nil)
	}
	use(strings.ToLower(strings.ReplaceAll(codes[0], "-", " ")), 200)
	use(codes[0], 401)
	use("AAAA-BBBB-CCCC-DDDD", 401)
	use(codes[1], 200)
	var me Me
	b.want(t, 200, "GET", "/v1/me", nil, &me)
	if me.RecoveryCodes != 8 || !me.TOTP {
		t.Errorf("%+v", me)
	}
	var fresh RecoveryCodes
	b.want(t, 200, "POST", "/v1/me/recovery-codes", PasswordBody{Password: password}, &fresh)
	use(codes[2], 401)
	use(fresh.RecoveryCodes[0], 200)
}

// TestWrongCodesEndTheSession: after five the password is asked for again.
func TestWrongCodesEndTheSession(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	b := h.tab(t)
	b.signIn(t, ann)
	b.enroll(t)
	one := h.tab(t)
	one.plant(t, deviceCookieName, b.cookie(t, deviceCookieName))
	one.signIn(t, ann)
	for i := range 5 {
		one.want(t, 401, "POST", "/v1/session/totp", CodeBody{Code: fmt.Sprintf("00000%d", i)}, nil)
	}
	var state SignInState
	one.want(t, 200, "GET", "/v1/session", nil, &state)
	if state.State != "none" {
		t.Errorf("after five wrong codes: %+v", state)
	}
}

// TestPasskeys: added, used as second factor, used alone; not from elsewhere,
// not twice, not by somebody else.
func TestPasskeys(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	h.hire(t, "eve@example.org", operator.Viewer)
	b := h.tab(t)
	b.signIn(t, ann)
	key := newAuthenticator(t, "localhost", b.base)
	var o options
	b.want(t, 200, "POST", "/v1/me/passkeys/options", nil, &o)
	if o.Options.PublicKey.RP.ID != "localhost" {
		t.Fatalf("options %s", b.last)
	}
	foreign := newAuthenticator(t, "localhost", "https://evil.example")
	b.want(t, 422, "POST", "/v1/me/passkeys", NewPasskeyBody{Name: "x", Credential: foreign.create(t, &o)}, nil)
	b.want(t, 422, "POST", "/v1/me/passkeys", NewPasskeyBody{Name: "", Credential: key.create(t, &o)}, nil)
	made := key.create(t, &o)
	var added NewPasskey
	b.want(t, 201, "POST", "/v1/me/passkeys", NewPasskeyBody{Name: "laptop", Credential: made}, &added)
	if added.Name != "laptop" || added.Site != "localhost" || len(added.RecoveryCodes.RecoveryCodes) != 10 {
		t.Errorf("%+v", added)
	}
	b.want(t, 422, "POST", "/v1/me/passkeys", NewPasskeyBody{Name: "again", Credential: made}, nil)

	second := h.tab(t)
	if state := second.signIn(t, ann); state.State != "second_factor" || state.Methods[0] != "passkey" {
		t.Fatalf("%+v", state)
	}
	second.want(t, 200, "POST", "/v1/session/passkey/options", nil, &o)
	answer := key.get(t, &o)
	second.want(t, 200, "POST", "/v1/session/passkey", CredentialBody{Credential: answer}, nil)
	third := h.tab(t)
	third.signIn(t, ann)
	third.want(t, 401, "POST", "/v1/session/passkey", CredentialBody{Credential: answer}, nil) // of another session

	alone := h.tab(t)
	alone.want(t, 200, "POST", "/v1/session/passkey/options", nil, &o)
	if o.Options.PublicKey.UserVerification != "required" {
		t.Errorf("options %s", alone.last)
	}
	answer = key.get(t, &o)
	var state SignInState
	alone.want(t, 200, "POST", "/v1/session/passkey", CredentialBody{Credential: answer}, &state)
	if state.State != "signed_in" || state.Operator.Email != ann {
		t.Errorf("%+v", state)
	}
	h.tab(t).want(t, 401, "POST", "/v1/session/passkey", CredentialBody{Credential: answer}, nil) // used before

	for what, bad := range map[string]func(*authenticator){
		"another site":   func(a *authenticator) { a.site = "evil.example" },
		"another origin": func(a *authenticator) { a.origin = "http://localhost:1" },
		"nobody touched": func(a *authenticator) { a.flags = 0x04 },
		"not verified":   func(a *authenticator) { a.flags = 0x01 },
		"another key":    func(a *authenticator) { a.key = newAuthenticator(t, "", "").key },
		"another person": func(a *authenticator) { a.user = []byte("somebody") },
		"unknown":        func(a *authenticator) { a.id = []byte("unknown credential") },
	} {
		copied := *key
		copied.count += 100
		bad(&copied)
		one := h.tab(t)
		one.plant(t, deviceCookieName, b.cookie(t, deviceCookieName))
		one.want(t, 200, "POST", "/v1/session/passkey/options", nil, &o)
		if status := one.send(t, "POST", "/v1/session/passkey", CredentialBody{Credential: copied.get(t, &o)}, nil); status != 401 {
			t.Errorf("%s: %d %s", what, status, one.last)
		}
	}
	one := h.tab(t)
	one.want(t, 422, "POST", "/v1/session/passkey", CredentialBody{Credential: map[string]any{"id": "x"}}, nil)
	var list Items[PasskeyView]
	b.want(t, 200, "GET", "/v1/me/passkeys", nil, &list)
	if len(list.Items) != 1 || list.Items[0].LastUsed == nil {
		t.Errorf("%+v", list)
	}
	eve := h.tab(t)
	eve.signIn(t, "eve@example.org")
	eve.want(t, 404, "DELETE", "/v1/me/passkeys/"+list.Items[0].ID, nil, nil)
	b.want(t, 204, "DELETE", "/v1/me/passkeys/"+list.Items[0].ID, nil, nil)
	if state := h.tab(t).signIn(t, ann); state.State != "signed_in" {
		t.Errorf("after the passkey was removed: %+v", state)
	}
	// On an address there is no site to tie a passkey to.
	b.base = h.url
	b.header["Origin"] = h.url
	b.signIn(t, ann)
	b.want(t, 409, "POST", "/v1/me/passkeys/options", nil, nil)
}

// TestRequestsOfOtherSites are refused for every call that changes something,
// whichever of the two headers says so, and forms if none does.
func TestRequestsOfOtherSites(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	b := h.tab(t)
	b.signIn(t, ann)
	own := b.header
	for _, row := range routes {
		method, path, _ := strings.Cut(row.pattern, " ")
		if method == "GET" {
			continue
		}
		path = strings.NewReplacer("{", "", "}", "").Replace(path)
		for what, header := range map[string]map[string]string{
			"Sec-Fetch-Site: cross-site": {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
			"Sec-Fetch-Site: same-site":  {"Sec-Fetch-Site": "same-site"},
			"Origin alone":               {"Origin": "https://evil.example"},
			"Origin null":                {"Origin": "null"},
			"another port":               {"Origin": "http://localhost:1"},
		} {
			b.header = header
			if status := b.send(t, method, path, map[string]any{}, nil); status != 403 {
				t.Errorf("%s with %s: %d", row.pattern, what, status)
			}
		}
	}
	b.header = map[string]string{"Content-Type": "text/plain"}
	b.want(t, 415, "POST", "/v1/notes", map[string]any{"on": "ip:192.0.2.1", "text": "x"}, nil)
	b.header = map[string]string{}
	b.want(t, 403, "POST", "/v1/me/totp", nil, nil)
	b.header = own
	b.want(t, 200, "GET", "/v1/me", nil, nil)
	b.want(t, 201, "POST", "/v1/notes", map[string]any{"on": "ip:192.0.2.1", "text": "x"}, nil)
}

// TestKeysAndSessionsNeverMix: a request with an Authorization header is judged
// by that alone.
func TestKeysAndSessionsNeverMix(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	b := h.tab(t)
	b.signIn(t, ann)
	b.header["Authorization"] = "Bearer wk_nobody_" + strings.Repeat("0", 64)
	b.want(t, 401, "GET", "/v1/events", nil, nil)
	b.header["Authorization"] = ""
	b.want(t, 401, "GET", "/v1/events", nil, nil)
	b.header["Authorization"] = "Bearer " + h.token
	b.want(t, 200, "GET", "/v1/events", nil, nil)
	b.want(t, 403, "GET", "/v1/me", nil, nil)
	delete(b.header, "Authorization")
	b.want(t, 403, "POST", "/v1/check", map[string]any{"ip": "192.0.2.1"}, nil)
	// Two cookies of one name: somebody planted one.
	b.header["Cookie"] = cookieName + "=" + operator.NewDevice()
	b.want(t, 401, "GET", "/v1/me", nil, nil)
}

// TestSignOutEverywhere ends every session at once, this one too, and the open
// stream with it.
func TestSignOutEverywhere(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	one, two := h.tab(t), h.tab(t)
	one.signIn(t, ann)
	two.signIn(t, ann)
	var list Items[SignInView]
	one.want(t, 200, "GET", "/v1/me/sessions", nil, &list)
	current := 0
	for _, s := range list.Items {
		if s.Current {
			current++
		}
		if s.Agent != "Browser/1.0" || s.IP == "" || s.State != "signed_in" {
			t.Errorf("%+v", s)
		}
	}
	if len(list.Items) != 2 || current != 1 {
		t.Errorf("%+v", list)
	}
	ended := two.stream(t)
	one.want(t, 204, "DELETE", "/v1/me/sessions", nil, nil)
	if err := <-ended; err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("stream: %v", err)
	}
	one.want(t, 401, "GET", "/v1/me", nil, nil)
	two.want(t, 401, "GET", "/v1/me", nil, nil)

	one.signIn(t, ann)
	two.signIn(t, ann)
	two.want(t, 200, "GET", "/v1/me/sessions", nil, &list)
	for _, s := range list.Items {
		if !s.Current {
			two.want(t, 204, "DELETE", "/v1/me/sessions/"+s.ID, nil, nil)
			two.want(t, 404, "DELETE", "/v1/me/sessions/"+s.ID, nil, nil)
		}
	}
	one.want(t, 401, "GET", "/v1/me", nil, nil)
	two.want(t, 200, "GET", "/v1/me", nil, nil)
}

// stream opens the event stream and reports how it ends.
func (b *tab) stream(t *testing.T) <-chan error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", b.base+"/v1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range b.header {
		req.Header.Set(name, value)
	}
	res, err := b.client.Do(req)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("stream: %v, %v", res, err)
	}
	done := make(chan error, 1)
	go func() {
		defer res.Body.Close()
		_, err := io.Copy(io.Discard, res.Body)
		done <- err
	}()
	return done
}

// TestDeactivatedAtOnce: whoever is switched off is out with the next request,
// and out of the stream; so is whoever lost the role for it.
func TestDeactivatedAtOnce(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	bob := h.hire(t, "bob@example.org", operator.Admin)
	owner, b := h.tab(t), h.tab(t)
	owner.signIn(t, ann)
	b.signIn(t, "bob@example.org")
	b.want(t, 201, "POST", "/v1/blocks", map[string]any{"ip": "192.0.2.1"}, nil)
	ended := b.stream(t)
	owner.want(t, 200, "PATCH", "/v1/operators/"+bob.ID, map[string]any{"role": "analyst"}, nil)
	b.want(t, 403, "POST", "/v1/blocks", map[string]any{"ip": "192.0.2.2"}, nil)
	b.want(t, 200, "GET", "/v1/me", nil, nil)
	owner.want(t, 200, "PATCH", "/v1/operators/"+bob.ID, map[string]any{"disabled": true}, nil)
	b.want(t, 401, "GET", "/v1/me", nil, nil)
	if err := <-ended; err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("stream: %v", err)
	}
	b.want(t, 401, "POST", "/v1/session", SignInBody{Email: "bob@example.org", Password: password}, nil)
	owner.want(t, 200, "PATCH", "/v1/operators/"+bob.ID, map[string]any{"disabled": false}, nil)
	b.want(t, 401, "GET", "/v1/me", nil, nil)
	b.signIn(t, "bob@example.org")
	owner.want(t, 204, "DELETE", "/v1/operators/"+bob.ID+"/sessions", nil, nil)
	b.want(t, 401, "GET", "/v1/me", nil, nil)
}

// TestRevokedKeyAtOnce: whoever listens by a key is cut off when it is revoked,
// and nobody else is.
func TestRevokedKeyAtOnce(t *testing.T) {
	h := newWhole(t)
	listen := func(name string) (NewKey, <-chan error) {
		var made NewKey
		h.want(t, 201, "POST", "/v1/keys", `{"name":"`+name+`","scopes":["read"]}`, &made)
		b := h.tab(t)
		b.header = map[string]string{"Authorization": "Bearer " + made.Token}
		return made, b.stream(t)
	}
	_, other := listen("other")
	for _, by := range []func(k NewKey) string{
		func(k NewKey) string { return k.ID }, func(k NewKey) string { return k.Name },
	} {
		k, ended := listen("leaked")
		if err := h.loadKeys(t.Context()); err != nil { // as it is done every second
			t.Fatal(err)
		}
		h.want(t, 204, "DELETE", "/v1/keys/"+by(k), "", nil)
		select {
		case err := <-ended: // however it ends
			t.Log("ended:", err)
		case <-time.After(5 * time.Second):
			t.Fatal("a revoked key goes on listening")
		}
	}
	select {
	case err := <-other:
		t.Errorf("another key was cut off: %v", err)
	default:
	}
}

// TestRevokedKeyTakesItsLinks: whoever had a key of scope admin does not come back
// as an owner through an invitation that it made.
func TestRevokedKeyTakesItsLinks(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	invite := func(token, email string) string {
		b := h.tab(t)
		b.header = map[string]string{"Authorization": "Bearer " + token}
		var link NewLink
		b.want(t, 201, "POST", "/v1/invitations", NewInvitationBody{Email: email, Role: "owner"}, &link)
		_, token, _ = strings.Cut(link.Link, "#token=")
		return token
	}
	keep := invite(h.token, "new@example.org")
	var made NewKey
	h.want(t, 201, "POST", "/v1/keys", `{"name":"leaked","scopes":["admin"]}`, &made)
	back := invite(made.Token, "mallory@example.org")
	h.want(t, 204, "DELETE", "/v1/keys/"+made.ID, "", nil)
	h.tab(t).want(t, 403, "GET", "/v1/invitations/accept?token="+back, nil, nil)
	h.tab(t).want(t, 200, "GET", "/v1/invitations/accept?token="+keep, nil, nil)
}

// TestLastOwner cannot be switched off, demoted, or do it to themselves.
func TestLastOwner(t *testing.T) {
	h := newWhole(t)
	o := h.hire(t, ann, operator.Owner)
	b := h.tab(t)
	b.signIn(t, ann)
	for _, change := range []map[string]any{{"disabled": true}, {"role": "admin"}, {"active": false}} {
		b.want(t, 409, "PATCH", "/v1/operators/"+o.ID, change, nil)
		text, _ := json.Marshal(change)
		h.want(t, 409, "PATCH", "/v1/operators/"+o.ID, string(text), nil)
	}
	h.want(t, 422, "PATCH", "/v1/operators/"+o.ID, `{"expires_at":"2099-01-01T00:00:00Z"}`, nil)
	b.want(t, 409, "POST", "/v1/operators/"+o.ID+"/reset", nil, nil)
	b.want(t, 403, "PATCH", "/v1/operators/"+o.ID, map[string]any{"password": "an even longer passphrase"}, nil)
	b.want(t, 422, "PATCH", "/v1/operators/"+o.ID, map[string]any{}, nil)
	// Two owners who switch each other off at the same moment: one stays.
	second := h.hire(t, "second@example.org", operator.Owner)
	c := h.tab(t)
	c.signIn(t, "second@example.org")
	var wg sync.WaitGroup
	wg.Go(func() { b.send(t, "PATCH", "/v1/operators/"+second.ID, map[string]any{"disabled": true}, nil) })
	wg.Go(func() { c.send(t, "PATCH", "/v1/operators/"+o.ID, map[string]any{"disabled": true}, nil) })
	wg.Wait()
	all, err := h.opts.People.List(t.Context())
	active := 0
	for i := range all {
		if all[i].Active(time.Now()) {
			active++
		}
	}
	if err != nil || active != 1 {
		t.Errorf("%d active owners, %v", active, err)
	}
}

// TestViewerEnds: an auditor's account ends by itself, session and all.
func TestViewerEnds(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	vic := h.hire(t, "vic@example.org", operator.Viewer)
	owner := h.tab(t)
	owner.signIn(t, ann)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	owner.want(t, 422, "PATCH", "/v1/operators/"+vic.ID, map[string]any{"expires_at": "2020-01-01T00:00:00Z"}, nil)
	owner.want(t, 200, "PATCH", "/v1/operators/"+vic.ID, map[string]any{"expires_at": until}, nil)
	b := h.tab(t)
	state := b.signIn(t, "vic@example.org")
	if state.ExpiresAt == nil || !state.ExpiresAt.Equal(until) || state.Operator.ExpiresAt == nil {
		t.Errorf("%+v", state)
	}
	token := b.cookie(t, cookieName)
	people := h.opts.People
	if _, _, err := people.Session(t.Context(), token, until.Add(-time.Second)); err != nil {
		t.Error(err)
	}
	if _, _, err := people.Session(t.Context(), token, until); !errors.Is(err, operator.ErrNoSession) {
		t.Errorf("after the end: %v", err)
	}
	owner.want(t, 200, "PATCH", "/v1/operators/"+vic.ID, map[string]any{"expires_at": ""}, nil)
}

// TestInvitations: a link makes one operator, once; resets likewise, and end
// everything before them.
func TestInvitations(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	owner := h.tab(t)
	owner.signIn(t, ann)
	invite := func(email string) (NewLink, string) {
		t.Helper()
		var link NewLink
		owner.want(t, 201, "POST", "/v1/invitations", map[string]any{"email": email, "role": "analyst"}, &link)
		base, token, ok := strings.Cut(link.Link, "/accept#token=")
		if !ok || base != owner.base {
			t.Fatalf("link %s", link.Link)
		}
		return link, token
	}
	owner.want(t, 409, "POST", "/v1/invitations", map[string]any{"email": ann, "role": "viewer"}, nil)
	owner.want(t, 422, "POST", "/v1/invitations", map[string]any{"email": "x", "role": "king"}, nil)
	_, old := invite("bob@example.org")
	_, token := invite("bob@example.org")
	link, revoked := invite("carol@example.org")
	owner.want(t, 204, "DELETE", "/v1/invitations/"+link.ID, nil, nil)
	stranger := h.tab(t)
	for _, bad := range []string{old, revoked, "x", strings.Repeat("y", 43)} {
		stranger.want(t, 403, "GET", "/v1/invitations/accept?token="+bad, nil, nil)
		stranger.want(t, 403, "POST", "/v1/invitations/accept", AcceptBody{Token: bad, Password: password}, nil)
	}
	var view LinkView
	stranger.want(t, 200, "GET", "/v1/invitations/accept?token="+token, nil, &view)
	if view.Email != "bob@example.org" || view.Role != "analyst" || view.Kind != "invitation" {
		t.Errorf("%+v", view)
	}
	stranger.want(t, 422, "POST", "/v1/invitations/accept", AcceptBody{Token: token, Password: "short"}, nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	count := map[int]int{}
	for range 10 {
		one := h.tab(t)
		wg.Go(func() {
			status := one.send(t, "POST", "/v1/invitations/accept", AcceptBody{Token: token, Name: "Bob", Password: password}, nil)
			mu.Lock()
			defer mu.Unlock()
			count[status]++
		})
	}
	wg.Wait()
	if count[201] != 1 || count[201]+count[403] != 10 {
		t.Errorf("accepted %v", count)
	}
	var list Items[InvitationView]
	owner.want(t, 200, "GET", "/v1/invitations", nil, &list)
	if len(list.Items) != 0 {
		t.Errorf("%+v", list)
	}

	bob := h.tab(t)
	bob.signIn(t, "bob@example.org")
	bob.enroll(t)
	var reset NewLink
	owner.want(t, 200, "POST", "/v1/operators/bob@example.org/reset", nil, &reset)
	bob.want(t, 401, "GET", "/v1/me", nil, nil)
	bob.want(t, 401, "POST", "/v1/session", SignInBody{Email: "bob@example.org", Password: password}, nil)
	_, token, _ = strings.Cut(reset.Link, "#token=")
	var state SignInState
	bob.want(t, 201, "POST", "/v1/invitations/accept", AcceptBody{Token: token, Password: "another passphrase"}, &state)
	if state.Operator == nil || state.Operator.TOTP || state.Operator.Name != "Bob" || state.Operator.Role != operator.Analyst {
		t.Errorf("%+v", state)
	}
	stranger.want(t, 403, "POST", "/v1/invitations/accept", AcceptBody{Token: token, Password: "another passphrase"}, nil)
}

// TestLinksEndWithWhoeverMadeThem: nobody comes back through an invitation that
// he made before he was switched off, lost his role or was reset.
func TestLinksEndWithWhoeverMadeThem(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	owner := h.tab(t)
	owner.signIn(t, ann)
	for what, end := range map[string]func(who string){
		"off": func(who string) {
			owner.want(t, 200, "PATCH", "/v1/operators/"+who, map[string]any{"disabled": true}, nil)
		},
		"demoted": func(who string) {
			owner.want(t, 200, "PATCH", "/v1/operators/"+who, map[string]any{"role": "viewer"}, nil)
		},
		"reset": func(who string) { owner.want(t, 200, "POST", "/v1/operators/"+who+"/reset", nil, nil) },
	} {
		who := what + "@example.org"
		h.hire(t, who, operator.Owner)
		tab := h.tab(t)
		tab.signIn(t, who)
		var left, kept NewLink
		tab.want(t, 201, "POST", "/v1/invitations", map[string]any{"email": "friend-of-" + who, "role": "admin"}, &left)
		owner.want(t, 201, "POST", "/v1/invitations", map[string]any{"email": "colleague-of-" + who, "role": "viewer"}, &kept)
		end(who)
		for link, want := range map[string]int{left.Link: 403, kept.Link: 200} {
			_, token, _ := strings.Cut(link, "#token=")
			h.tab(t).want(t, want, "GET", "/v1/invitations/accept?token="+token, nil, nil)
		}
		if what == "reset" {
			var waiting Items[InvitationView]
			owner.want(t, 200, "GET", "/v1/invitations", nil, &waiting)
			if !slices.ContainsFunc(waiting.Items, func(v InvitationView) bool { return v.Email == who }) {
				t.Error("the reset itself is gone")
			}
		}
	}
}

// TestBruteForceOfTheDashboard is stopped by account and by address, also where
// the policy is off, while the device that is known gets in. An address that is
// blocked is refused nothing for that.
func TestBruteForceOfTheDashboard(t *testing.T) {
	for _, mode := range []string{"classic", "off"} {
		t.Run(mode, func(t *testing.T) {
			h := newWhole(t)
			h.hire(t, ann, operator.Owner)
			known := h.tab(t)
			known.signIn(t, ann)
			if mode == "off" {
				var doc string
				h.want(t, 200, "GET", "/v1/policy", "", &doc)
				h.want(t, 200, "PUT", "/v1/policy", strings.Replace(doc, `"enabled":true`, `"enabled":false`, 1), nil)
			}
			known.want(t, 204, "DELETE", "/v1/session", nil, nil)
			count := map[int]int{}
			var mu sync.Mutex
			var wg sync.WaitGroup
			for i := range 20 {
				one := h.tab(t)
				wg.Go(func() {
					status := one.send(t, "POST", "/v1/session", SignInBody{Email: ann, Password: fmt.Sprintf("guess number %d", i)}, nil)
					mu.Lock()
					defer mu.Unlock()
					count[status]++
				})
			}
			wg.Wait()
			stranger := h.tab(t)
			for i := range 20 {
				count[stranger.send(t, "POST", "/v1/session", SignInBody{Email: ann, Password: fmt.Sprintf("other guess %d", i)}, nil)]++
			}
			if count[401] > 10 || count[200] != 0 || count[401]+count[403]+count[429]+count[503] != 40 {
				t.Errorf("forty guesses were answered %v, want at most ten checked", count)
			}
			if status := stranger.send(t, "POST", "/v1/session", SignInBody{Email: ann, Password: password}, nil); status != 429 && status != 403 {
				t.Errorf("the right password of a stranger: %d %s", status, stranger.last)
			}
			if stranger.answer.Get("Retry-After") == "" {
				t.Errorf("no Retry-After: %v", stranger.answer)
			}
			if state := known.signIn(t, ann); state.State != "signed_in" {
				t.Errorf("the known device: %+v", state)
			}
		})
	}
}

// TestBlockedAddressSignsIn: whoever is to lift a Block must get in.
func TestBlockedAddressSignsIn(t *testing.T) {
	h := newWhole(t)
	h.opts.ClientAddr = nil
	h.hire(t, ann, operator.Owner)
	h.want(t, 201, "POST", "/v1/blocks", `{"ip":"127.0.0.1","reason":"by mistake"}`, nil)
	h.want(t, 201, "POST", "/v1/blocks", `{"ip":"::1/128","reason":"by mistake"}`, nil)
	var d warder.Decision
	h.want(t, 200, "POST", "/v1/check", `{"ip":"127.0.0.1"}`, &d)
	if d.Action != warder.BlockAction {
		t.Fatalf("%+v", d)
	}
	b := h.tab(t)
	b.want(t, 401, "POST", "/v1/session", SignInBody{Email: ann, Password: "wrong"}, nil)
	b.signIn(t, ann)
	b.want(t, 200, "GET", "/v1/blocks", nil, nil)
	var list Items[EventView]
	h.want(t, 200, "GET", "/v1/events?realm=warder&name=ADMIN_LOGIN_FAILURE", "", &list)
	if len(list.Items) != 1 || !list.Items[0].Counted {
		t.Errorf("a guess from a blocked address does not count: %+v", list.Items)
	}
}

// TestRoleMatrix walks every route with every role and every scope, and
// expects the door to open exactly where the table says so.
func TestRoleMatrix(t *testing.T) {
	once(t)
	h := newWhole(t)
	people := map[operator.Role]operator.Operator{}
	for _, role := range operator.Roles() {
		people[role] = h.hire(t, string(role)+"@example.org", role)
	}
	h.hire(t, "spare@example.org", operator.Owner)
	keys := map[Scope]string{}
	for _, scope := range Scopes() {
		k, err := CreateKey(t.Context(), h.db, guard.Actor{Name: "cli:0"}, NewKeyBody{Name: "m-" + string(scope), Scopes: []string{string(scope)}})
		if err != nil {
			t.Fatal(err)
		}
		keys[scope] = k.Token
	}
	if err := h.ReloadKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask := func(row *route, header map[string]string) int {
		method, path, _ := strings.Cut(row.pattern, " ")
		path = strings.NewReplacer("{", "", "}", "").Replace(path)
		var body io.Reader
		if method != "GET" {
			body = strings.NewReader(`{"nonsense":true}`)
		}
		req, err := http.NewRequestWithContext(t.Context(), method, h.url+path, body)
		if err != nil {
			t.Fatal(err)
		}
		if body != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		for name, value := range header {
			req.Header.Set(name, value)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	refused := func(status int) bool { return status == 401 || status == 403 }
	for i := range routes {
		row := &routes[i]
		if row.open {
			continue
		}
		if status := ask(row, nil); status != 401 {
			t.Errorf("%s by nobody: %d, want 401", row.pattern, status)
		}
		for role, o := range people {
			token, _, err := h.opts.People.Start(t.Context(), &o, true, "", operator.Visitor{}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			status := ask(row, map[string]string{"Cookie": cookieName + "=" + token, "Sec-Fetch-Site": "same-origin"})
			if want := row.role == "" || !role.Includes(row.role); refused(status) != want {
				t.Errorf("%s by %s: %d, want refused %v", row.pattern, role, status, want)
			}
			half, _, err := h.opts.People.Start(t.Context(), &o, false, token, operator.Visitor{}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if status := ask(row, map[string]string{"Cookie": cookieName + "=" + half, "Sec-Fetch-Site": "same-origin"}); status != 401 {
				t.Errorf("%s by %s before the second factor: %d, want 401", row.pattern, role, status)
			}
		}
		for scope, token := range keys {
			status := ask(row, map[string]string{"Authorization": "Bearer " + token})
			if want := row.scope == "" || scope != row.scope && scope != ScopeAdmin; refused(status) != want {
				t.Errorf("%s by a key of scope %s: %d, want refused %v", row.pattern, scope, status, want)
			}
		}
	}
}

// TestAnalystNotesOnly: reviewing and noting is not changing how long a block
// lasts.
func TestAnalystNotesOnly(t *testing.T) {
	h := newWhole(t)
	h.hire(t, "analyst@example.org", operator.Analyst)
	var block BlockView
	h.want(t, 201, "POST", "/v1/blocks", `{"ip":"192.0.2.1"}`, &block)
	b := h.tab(t)
	b.signIn(t, "analyst@example.org")
	b.want(t, 200, "PATCH", "/v1/blocks/"+block.ID, map[string]any{"reviewed": true, "note": "looked at"}, nil)
	b.want(t, 403, "PATCH", "/v1/blocks/"+block.ID, map[string]any{"until": time.Now().Add(time.Hour)}, nil)
	b.want(t, 403, "PATCH", "/v1/blocks/"+block.ID, map[string]any{"permanent": true}, nil)
	b.want(t, 403, "DELETE", "/v1/blocks/"+block.ID, map[string]any{"verdict": "error"}, nil)
}

// TestCookiesOverTLS have the prefix that nobody beside us can plant.
func TestCookiesOverTLS(t *testing.T) {
	h := newWhole(t)
	h.opts.HTTPS = func(r *http.Request) bool { return r.Header.Get("X-Forwarded-Proto") == "https" }
	h.hire(t, ann, operator.Owner)
	b := h.tab(t)
	b.header["X-Forwarded-Proto"] = "https"
	var state SignInState
	b.want(t, 200, "POST", "/v1/session", SignInBody{Email: ann, Password: password}, &state)
	var token string
	for _, c := range (&http.Response{Header: b.answer}).Cookies() {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteStrictMode {
			t.Errorf("cookie %s", c.Raw)
		}
		if c.Name == secureCookieName {
			token = c.Value
		}
	}
	b = h.tab(t) // whose jar is empty
	b.header["X-Forwarded-Proto"] = "https"
	b.header["Cookie"] = secureCookieName + "=" + token
	b.want(t, 200, "GET", "/v1/me", nil, nil)
	b.header["Cookie"] = cookieName + "=" + token
	b.want(t, 401, "GET", "/v1/me", nil, nil)
	delete(b.header, "X-Forwarded-Proto")
	b.header["Cookie"] = secureCookieName + "=" + token
	b.want(t, 401, "GET", "/v1/me", nil, nil)
}

// TestAdminMakesNoOwner: a key of scope admin may make owners, so an admin who
// could make one would be an owner by two calls.
func TestAdminMakesNoOwner(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	h.hire(t, "bob@example.org", operator.Admin)
	owner, admin := h.tab(t), h.tab(t)
	owner.signIn(t, ann)
	admin.signIn(t, "bob@example.org")
	for _, scopes := range [][]string{{"admin"}, {"read", "admin"}} {
		admin.want(t, 403, "POST", "/v1/keys", NewKeyBody{Name: "climb", Scopes: scopes}, nil)
	}
	admin.want(t, 201, "POST", "/v1/keys", NewKeyBody{Name: "shop", Scopes: []string{"events", "check", "blocks", "sessions", "read"}}, nil)
	owner.want(t, 201, "POST", "/v1/keys", NewKeyBody{Name: "provision", Scopes: []string{"admin"}}, nil)
}

// TestPasswordClearsNoWrongCodes: whoever has the password and a known browser,
// but not the second factor, cannot give the password again and again to get
// five more codes each time.
func TestPasswordClearsNoWrongCodes(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	b := h.tab(t)
	b.signIn(t, ann)
	b.enroll(t)
	wrong := 0
	for round := range 5 {
		one := h.tab(t)
		one.plant(t, deviceCookieName, b.cookie(t, deviceCookieName))
		status := one.send(t, "POST", "/v1/session", SignInBody{Email: ann, Password: password}, nil)
		for i := 0; i < 4 && status == 200; i++ {
			status = one.send(t, "POST", "/v1/session/totp", CodeBody{Code: fmt.Sprintf("%d0000%d", round, i)}, nil)
			if status == 401 {
				wrong, status = wrong+1, 200
			}
		}
		if status == 429 {
			if wrong > 10 {
				t.Errorf("%d wrong codes before the pause", wrong)
			}
			return
		}
	}
	t.Errorf("%d wrong codes and no pause", wrong)
}

// TestManySessionsAndASecondFactor: whoever is signed in at as many places as
// one may be can still sign in by a second factor, and nobody who has the
// password alone signs them out.
func TestManySessionsAndASecondFactor(t *testing.T) {
	h := newWhole(t)
	o := h.hire(t, ann, operator.Owner)
	b := h.tab(t)
	b.signIn(t, ann)
	secret, _, step := b.enroll(t)
	for range operator.MaxSessions {
		if _, _, err := h.opts.People.Start(t.Context(), &o, true, "", operator.Visitor{}, time.Now().Add(-time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	for range operator.MaxSessions + 5 {
		if _, _, err := h.opts.People.Start(t.Context(), &o, false, "", operator.Visitor{}, time.Now().Add(-time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	b.want(t, 200, "GET", "/v1/me", nil, nil)
	one := h.tab(t)
	one.signIn(t, ann)
	one.want(t, 200, "POST", "/v1/session/totp", CodeBody{Code: codeOf(t, secret, step+1)}, nil)
	one.want(t, 200, "GET", "/v1/me", nil, nil)
}

// TestStepUp: a session that was begun a while ago can change nothing about
// how its owner signs in, until the password or a code is given once more; the
// proof is that session's, and ends.
func TestStepUp(t *testing.T) {
	h := newWhole(t)
	o := h.hire(t, ann, operator.Owner)
	fresh := h.tab(t)
	fresh.signIn(t, ann)
	old := func() *tab {
		t.Helper()
		b := h.tab(t)
		token, _, err := h.opts.People.Start(t.Context(), &o, true, "", operator.Visitor{}, time.Now().Add(-freshFor))
		if err != nil {
			t.Fatal(err)
		}
		b.plant(t, cookieName, token)
		return b
	}
	b, other := old(), old()
	var list Items[PasskeyView]
	b.want(t, 200, "GET", "/v1/me/passkeys", nil, &list)
	refused := func(b *tab) {
		t.Helper()
		for _, call := range []string{
			"POST /v1/me/totp", "POST /v1/me/passkeys/options", "POST /v1/me/passkeys", "DELETE /v1/me/passkeys/x",
		} {
			method, path, _ := strings.Cut(call, " ")
			var in any
			if path == "/v1/me/passkeys" {
				in = NewPasskeyBody{Name: "x", Credential: map[string]any{}}
			}
			if status := b.send(t, method, path, in, nil); status != 403 || !strings.Contains(b.last, proveType) {
				t.Errorf("%s: %d %s", call, status, b.last)
			}
		}
		for _, path := range []string{"/v1/me/totp", "/v1/me/recovery-codes"} {
			method := map[bool]string{true: "DELETE", false: "POST"}[path == "/v1/me/totp"]
			b.want(t, 422, method, path, PasswordBody{Password: "wrong"}, nil)
		}
	}
	refused(b)
	b.want(t, 422, "POST", "/v1/me/prove", ProveBody{}, nil)
	b.want(t, 422, "POST", "/v1/me/prove", ProveBody{Password: password, Code: "123456"}, nil)
	b.want(t, 422, "POST", "/v1/me/prove", ProveBody{Password: "wrong"}, nil)
	b.want(t, 422, "POST", "/v1/me/prove", ProveBody{Code: "123456"}, nil)
	b.want(t, 403, "POST", "/v1/me/totp", nil, nil)
	b.want(t, 200, "POST", "/v1/me/prove", ProveBody{Password: password}, nil)
	secret, _, step := b.enroll(t)
	b.want(t, 200, "POST", "/v1/me/passkeys/options", nil, nil)
	refused(other)
	// A code of the app is as good, once.
	code := codeOf(t, secret, step+1)
	other.want(t, 200, "POST", "/v1/me/prove", ProveBody{Code: code}, nil)
	other.want(t, 200, "POST", "/v1/me/passkeys/options", nil, nil)
	third := old()
	third.want(t, 422, "POST", "/v1/me/prove", ProveBody{Code: code}, nil)
	refused(third)
	// Whoever has just signed in has proved it.
	fresh.want(t, 200, "POST", "/v1/me/passkeys/options", nil, nil)
	var p proofs
	now := time.Now()
	p.add("s", now)
	if !p.has("s", now.Add(freshFor-1)) || p.has("s", now.Add(freshFor)) || p.has("t", now) {
		t.Error("a proof lasts as long as it should not, or not as long as it should")
	}
	if p.add("t", now.Add(freshFor)); len(p.at) != 1 {
		t.Errorf("old proofs stay: %v", p.at)
	}
}

// postbox is a mail server that takes links, or does not.
type postbox struct {
	Alerts
	refuses bool
	links   []alert.Link
}

func (p *postbox) SendLink(_ context.Context, l alert.Link) error {
	if p.refuses {
		return errors.New("550 Relaying denied")
	}
	p.links = append(p.links, l)
	return nil
}

// TestLinksAreMailed: mailed says what became of the mail, and is never true
// without a mail server; the link is in the answer either way.
func TestLinksAreMailed(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	h.hire(t, "bob@example.org", operator.Viewer)
	box := &postbox{}
	h.opts.Alerts = box
	owner := h.tab(t)
	owner.signIn(t, ann)
	invite := func() (link NewLink) {
		t.Helper()
		owner.want(t, 201, "POST", "/v1/invitations", map[string]any{"email": "carol@example.org", "role": "analyst"}, &link)
		return link
	}
	if link := invite(); link.Mailed || link.Link == "" || len(box.links) > 0 {
		t.Errorf("without a mail server: %+v", link)
	}
	values := DefaultValues()
	values.SMTP.Host = "mail.example.org"
	h.settings.current.Store(&settled{values: values})
	link := invite()
	if !link.Mailed || len(box.links) != 1 {
		t.Fatalf("%+v, mailed %+v", link, box.links)
	}
	if l := box.links[0]; l.To != "carol@example.org" || l.URL != link.Link || l.By != ann || l.Role != "analyst" || l.Reset || !l.Expires.Equal(link.ExpiresAt) {
		t.Errorf("%+v", l)
	}
	var reset NewLink
	owner.want(t, 200, "POST", "/v1/operators/bob@example.org/reset", nil, &reset)
	if l := box.links[1]; !reset.Mailed || l.To != "bob@example.org" || !l.Reset {
		t.Errorf("%+v, mailed %+v", reset, l)
	}
	box.refuses = true
	if link := invite(); link.Mailed || link.Link == "" {
		t.Errorf("the server refused: %+v", link)
	}
}

// TestRightsThatEndWhileTheBodyComes: whoever sends a body slowly has the rights
// of when it has come, and not of when it began.
func TestRightsThatEndWhileTheBodyComes(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	post := func(t *testing.T, header string, meanwhile func()) int {
		t.Helper()
		const body = `{"name":"spare","scopes":["admin"]}`
		c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		b := h.tab(t)
		_, _ = fmt.Fprintf(c, "POST /v1/keys HTTP/1.1\r\nHost: %s\r\n%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
			strings.TrimPrefix(b.base, "http://"), header, len(body))
		in := bufio.NewReader(c)
		// It is asked for when somebody reads it, which is after the first look.
		if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "100") {
			t.Fatal(line, err)
		}
		meanwhile()
		_, _ = fmt.Fprint(c, body)
		_, _ = in.ReadString('\n') // the empty line
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	for name, c := range map[string]struct {
		change string
		want   int
	}{
		"switched off": {`{"disabled":true}`, 401},
		"an analyst":   {`{"role":"analyst"}`, 403},
		"an admin":     {`{"role":"admin"}`, 403}, // who makes no keys of scope admin
		"as before":    {`{"expires_at":""}`, 201},
	} {
		t.Run(name, func(t *testing.T) {
			who := h.hire(t, strings.ReplaceAll(name, " ", ".")+"@example.org", operator.Owner)
			b := h.tab(t)
			b.signIn(t, who.Email)
			got := post(t, "Sec-Fetch-Site: same-origin\r\nCookie: warder="+b.cookie(t, "warder"), func() {
				h.want(t, 200, "PATCH", "/v1/operators/"+who.ID, c.change, nil)
			})
			if got != c.want {
				t.Errorf("status %d, want %d", got, c.want)
			}
		})
	}
	t.Run("a revoked key", func(t *testing.T) {
		var key NewKey
		h.want(t, 201, "POST", "/v1/keys", `{"name":"old","scopes":["admin"]}`, &key)
		got := post(t, "Authorization: Bearer "+key.Token, func() { h.want(t, 204, "DELETE", "/v1/keys/old", "", nil) })
		if got != 401 {
			t.Errorf("status %d, want 401", got)
		}
	})
}

// TestWhoLiftsTrustsNobody: a key that may lift does not exempt addresses, which
// takes the scope that the trusted list takes.
func TestWhoLiftsTrustsNobody(t *testing.T) {
	h := newWhole(t)
	var key NewKey
	h.want(t, 201, "POST", "/v1/keys", `{"name":"bouncer","scopes":["blocks"]}`, &key)
	as := []string{"Authorization", "Bearer " + key.Token}
	var b BlockView
	h.want(t, 201, "POST", "/v1/blocks", `{"ip":"203.0.113.0/24"}`, &b, as...)
	const lift = `{"verdict":"error","trust_for":86400`
	h.want(t, 403, "DELETE", "/v1/blocks/"+b.ID, lift+"}", nil, as...)
	h.want(t, 403, "POST", "/v1/blocks/lift", lift+`,"ids":["`+b.ID+`"]}`, nil, as...)
	var list Items[TrustedView]
	if h.want(t, 200, "GET", "/v1/trusted", "", &list); len(list.Items) != 0 {
		t.Errorf("trusted %+v", list.Items)
	}
	h.want(t, 200, "DELETE", "/v1/blocks/"+b.ID, `{"verdict":"error"}`, nil, as...)
	h.want(t, 201, "POST", "/v1/blocks", `{"ip":"203.0.113.0/24"}`, &b, as...)
	h.want(t, 200, "DELETE", "/v1/blocks/"+b.ID, lift+"}", nil)
	if h.want(t, 200, "GET", "/v1/trusted", "", &list); len(list.Items) != 1 {
		t.Errorf("trusted %+v", list.Items)
	}
}

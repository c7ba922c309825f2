package challenge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/warderhq/warder/internal/outbound"
)

// Service is an external CAPTCHA as a page shows it and as its tokens are
// checked. All that we know speak the siteverify protocol, which reCAPTCHA
// began.
type Service struct {
	Name    string
	SiteKey string
	Script  string // address of its script, which must not render by itself
	Global  string // the object that the script makes
	// Sources are what the page's content security policy has to allow, by
	// directive.
	Sources map[string]string
	verify  string // address
}

// Services are the names of the external services.
func Services() []string { return []string{"turnstile", "hcaptcha", "recaptcha"} }

// NewService returns the service of a name. server replaces the service's own
// address: a mirror, or another program that speaks the same protocol; it may
// be empty.
func NewService(name, siteKey, server string) (*Service, error) {
	s := &Service{Name: name, SiteKey: siteKey}
	var home, script, verify string
	switch name {
	case "turnstile":
		s.Global, home = "turnstile", "https://challenges.cloudflare.com"
		script, verify = "/turnstile/v0/api.js?render=explicit", home+"/turnstile/v0/siteverify"
		s.Sources = map[string]string{"script-src": home, "frame-src": home, "connect-src": home}
	case "hcaptcha":
		const hosts = "https://hcaptcha.com https://*.hcaptcha.com"
		s.Global, home = "hcaptcha", "https://js.hcaptcha.com"
		script, verify = "/1/api.js?render=explicit", "https://api.hcaptcha.com/siteverify"
		s.Sources = map[string]string{"script-src": hosts, "frame-src": hosts, "style-src": hosts, "connect-src": hosts}
	case "recaptcha":
		s.Global, home = "grecaptcha", "https://www.google.com"
		script, verify = "/recaptcha/api.js?render=explicit", home+"/recaptcha/api/siteverify"
		s.Sources = map[string]string{
			"script-src":  "https://www.google.com/recaptcha/ https://www.gstatic.com/recaptcha/",
			"frame-src":   "https://www.google.com/recaptcha/ https://recaptcha.google.com/recaptcha/",
			"connect-src": "https://www.google.com/recaptcha/",
		}
	default:
		return nil, fmt.Errorf("there is no CAPTCHA service %q, there are %s", name, strings.Join(Services(), ", "))
	}
	if siteKey == "" {
		return nil, fmt.Errorf("%s needs a site key", name)
	}
	s.Script, s.verify = home+script, verify
	if server != "" {
		u, err := outbound.CheckURL(server)
		if err != nil {
			return nil, err
		}
		was, err := url.Parse(verify)
		if err != nil {
			return nil, err // a constant
		}
		origin := u.Scheme + "://" + u.Host
		base := strings.TrimRight(server, "/")
		s.Script, s.verify = base+script, base+was.Path
		for directive := range s.Sources {
			s.Sources[directive] = origin
		}
	}
	return s, nil
}

// Doer sends requests out; *outbound.Client does.
type Doer interface {
	Do(ctx context.Context, r outbound.Request) (*outbound.Response, error)
}

// SiteVerify checks tokens by the siteverify protocol.
type SiteVerify struct {
	Service *Service
	Secret  string
	Client  Doer
	Timeout time.Duration // of one call; default 5 s
}

// verdict is what siteverify answers.
type verdict struct {
	Success bool     `json:"success"`
	Codes   []string `json:"error-codes"`
}

// blame are the codes that say that a token is no good; all others, such as
// invalid-input-secret or internal-error, say that something is wrong with the
// service or its configuration.
var blame = []string{
	"missing-input-response", "invalid-input-response", "timeout-or-duplicate", "expired-input-response", "already-seen-response",
	"invalid-or-already-seen-response", "not-using-dummy-passcode",
}

// Verify implements Verifier.
func (v *SiteVerify) Verify(ctx context.Context, token string, remote netip.Addr) error {
	form := url.Values{"secret": {v.Secret}, "response": {token}}
	if remote.IsValid() {
		form.Set("remoteip", remote.String())
	}
	answer, err := v.ask(ctx, form)
	switch {
	case err != nil:
		return err
	case answer.Success:
		return nil
	}
	for _, code := range answer.Codes {
		if !slices.Contains(blame, code) {
			return fmt.Errorf("%s refuses to check: %.64q", v.Service.Name, code)
		}
	}
	if slices.Contains(answer.Codes, "timeout-or-duplicate") || slices.Contains(answer.Codes, "expired-input-response") {
		return ErrExpired
	}
	return ErrInvalid
}

// Probe implements Verifier: a token that cannot be good is still an answer.
func (v *SiteVerify) Probe(ctx context.Context) error {
	err := v.Verify(ctx, "probe", netip.Addr{})
	if _, ok := errors.AsType[Code](err); ok {
		return nil
	}
	return err
}

// maxVerdict bounds the answer of a service, in bytes.
const maxVerdict = 64 << 10

func (v *SiteVerify) ask(ctx context.Context, form url.Values) (answer verdict, err error) {
	timeout := v.Timeout
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	res, err := v.Client.Do(ctx, outbound.Request{
		Method: http.MethodPost, URL: v.Service.verify, Body: []byte(form.Encode()), MaxBody: maxVerdict, Timeout: timeout,
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}},
	})
	if err != nil {
		return answer, fmt.Errorf("ask %s: %w", v.Service.Name, err)
	}
	// Some answer 400 to a token that is no good.
	if res.Status >= 500 || json.Unmarshal(res.Body, &answer) != nil {
		return answer, fmt.Errorf("ask %s: its answer %d makes no sense", v.Service.Name, res.Status)
	}
	if res.Status != http.StatusOK && (answer.Success || len(answer.Codes) == 0) {
		return answer, fmt.Errorf("ask %s: it answers %d", v.Service.Name, res.Status)
	}
	return answer, nil
}

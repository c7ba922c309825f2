package api

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"net/netip"
	"net/textproto"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/clientip"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/store"
)

// Values are the settings that can be changed while Warder runs. The database
// is the truth; what the configuration of the process sets is stronger and
// read-only. Sizes are bytes, durations seconds.
type Values struct {
	SMTP           SMTPValues      `json:"smtp"`
	TrustedProxies []string        `json:"trusted_proxies"`
	ClientIPHeader string          `json:"client_ip_header"`
	PublicURL      string          `json:"public_url"`
	Contact        string          `json:"contact"`
	Retention      RetentionValues `json:"retention"`
	Session        SessionValues   `json:"session"`
	// Recipients get every critical alert besides the operators.
	Recipients []string `json:"recipients"`
}

// SMTPValues say which server takes the mails.
type SMTPValues struct {
	Host     string `json:"host"`
	Port     int    `json:"port"`
	TLS      string `json:"tls"`
	User     string `json:"user"`
	Password string `json:"password"`
	From     string `json:"from"`
}

// RetentionValues bound what is kept.
type RetentionValues struct {
	EventsDays int   `json:"events_days" doc:"Days that events are kept."`
	MaxSize    int64 `json:"max_size" doc:"Bytes of the database beyond which the oldest events go."`
}

// SessionValues bound the sessions of the dashboard, in seconds.
type SessionValues struct {
	Idle     int64 `json:"idle" doc:"Seconds without a request after which a session ends; 12 hours at most."`
	Absolute int64 `json:"absolute" doc:"Seconds after which a session ends in any case; 7 days at most."`
}

// Longest sessions of the dashboard, in seconds.
const (
	MaxIdle     = 12 * 3600
	MaxAbsolute = 7 * 86400
)

// DefaultValues are those of an instance that was told nothing.
func DefaultValues() Values {
	return Values{
		SMTP: SMTPValues{Port: 587, TLS: "starttls"}, TrustedProxies: []string{}, ClientIPHeader: clientip.DefaultHeader,
		Retention: RetentionValues{EventsDays: 400, MaxSize: 20 << 30}, Recipients: []string{},
		Session: SessionValues{Idle: MaxIdle, Absolute: MaxAbsolute},
	}
}

// SettingsPatch changes settings. What is absent stays.
type SettingsPatch struct {
	SMTP           *SMTPPatch      `json:"smtp,omitempty"`
	TrustedProxies *[]string       `json:"trusted_proxies,omitempty" maxItems:"256" doc:"Addresses and prefixes of proxies whose forwarding header is believed. Never /0."`
	ClientIPHeader *string         `json:"client_ip_header,omitempty" maxLength:"64"`
	PublicURL      *string         `json:"public_url,omitempty" maxLength:"500" doc:"Where end users reach Warder's pages; empty: nowhere."`
	Contact        *string         `json:"contact,omitempty" maxLength:"200" doc:"Shown to people who were refused: whom to ask."`
	Retention      *RetentionPatch `json:"retention,omitempty"`
	Session        *SessionPatch   `json:"session,omitempty"`
}

// SMTPPatch changes the mail server.
type SMTPPatch struct {
	Host     *string `json:"host,omitempty" maxLength:"253" doc:"Empty: mails are written to files."`
	Port     *int    `json:"port,omitempty" minimum:"1" maximum:"65535"`
	TLS      *string `json:"tls,omitempty" enum:"starttls,implicit,none"`
	User     *string `json:"user,omitempty" maxLength:"256"`
	Password *string `json:"password,omitempty" maxLength:"1024" doc:"Never shown. Absent: stays; empty: none."`
	From     *string `json:"from,omitempty" maxLength:"320"`
}

// RetentionPatch changes what is kept.
type RetentionPatch struct {
	EventsDays *int   `json:"events_days,omitempty" minimum:"1" maximum:"36500"`
	MaxSize    *int64 `json:"max_size,omitempty" minimum:"67108864" doc:"Bytes; at least 64 MiB."`
}

// SessionPatch changes how long sessions of the dashboard last.
type SessionPatch struct {
	Idle     *int64 `json:"idle,omitempty" minimum:"300" maximum:"43200" doc:"Seconds."`
	Absolute *int64 `json:"absolute,omitempty" minimum:"900" maximum:"604800" doc:"Seconds."`
}

// SettingsView is what the settings are.
type SettingsView struct {
	SMTP           SMTPView        `json:"smtp"`
	TrustedProxies []string        `json:"trusted_proxies"`
	ClientIPHeader string          `json:"client_ip_header"`
	PublicURL      string          `json:"public_url"`
	Contact        string          `json:"contact"`
	Retention      RetentionValues `json:"retention"`
	Session        SessionValues   `json:"session"`
	ReadOnly       []string        `json:"read_only" doc:"Names of what the configuration of the process sets, such as smtp.host: it is changed there."`
	RestartNeeded  []string        `json:"restart_needed" doc:"Names of what was changed and takes effect only after a restart."`
	Client         string          `json:"client" doc:"The address that this request is seen to come from: is it yours?"`
}

// SMTPView is the mail server without its password.
type SMTPView struct {
	Host        string `json:"host"`
	Port        int    `json:"port"`
	TLS         string `json:"tls" enum:"starttls,implicit,none"`
	User        string `json:"user"`
	PasswordSet bool   `json:"password_set"`
	From        string `json:"from"`
}

// SettingsOptions are what Settings are made of.
type SettingsOptions struct {
	Store *store.DB
	// Secret (32 bytes or more) seals the passwords among the settings, so that
	// a copy of the database holds none in clear.
	Secret []byte
	// Base are the values before anybody changed anything: those of the
	// configuration, or defaults.
	Base Values
	// ReadOnly names the values that the configuration sets.
	ReadOnly []string
	// Apply puts values in force; it is called one at a time, first by
	// NewSettings. It returns the names of what takes effect only after a
	// restart. An error means that nothing was changed.
	Apply func(Values) (restart []string, err error)
	// Logger is told of what cannot be read any more; nil: nobody.
	Logger *slog.Logger
}

// Settings keep the values in force.
type Settings struct {
	opts    SettingsOptions
	seal    cipher.AEAD
	mu      sync.Mutex // one change at a time
	current atomic.Pointer[settled]
}

// settled is one state of the settings.
type settled struct {
	values  Values
	version int64
	restart []string
}

const settingName = "settings"

// stored is what stands in the database. What was never changed is absent.
type stored struct {
	Version int64                      `json:"version"`
	Values  map[string]json.RawMessage `json:"values"`           // by name, such as smtp.host
	Secrets map[string][]byte          `json:"sealed,omitempty"` // sealed
}

// NewSettings reads the settings and puts them in force.
func NewSettings(ctx context.Context, opts SettingsOptions) (*Settings, error) {
	if opts.Apply == nil {
		opts.Apply = func(Values) ([]string, error) { return nil, nil }
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	seal, err := newSeal(opts.Secret)
	if err != nil {
		return nil, err
	}
	s := &Settings{opts: opts, seal: seal}
	row, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	values, err := s.values(row)
	if err != nil {
		return nil, err
	}
	if _, err := opts.Apply(values); err != nil {
		return nil, fmt.Errorf("put the settings in force: %w", err)
	}
	s.current.Store(&settled{values: values, version: row.Version})
	return s, nil
}

// newSeal is what passwords are sealed with.
func newSeal(secret []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "warder settings", 32)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Current returns the values in force. They must not be changed.
func (s *Settings) Current() Values { return s.current.Load().values }

func (s *Settings) load(ctx context.Context) (stored, error) {
	row := stored{Values: map[string]json.RawMessage{}, Secrets: map[string][]byte{}}
	text, err := s.opts.Store.Setting(ctx, settingName)
	if errors.Is(err, store.ErrNotFound) {
		return row, nil
	}
	if err != nil {
		return row, fmt.Errorf("read settings: %w", err)
	}
	if err := json.Unmarshal(text, &row); err != nil {
		return row, fmt.Errorf("read settings: %w", err)
	}
	if row.Values == nil {
		row.Values = map[string]json.RawMessage{}
	}
	if row.Secrets == nil {
		row.Secrets = map[string][]byte{}
	}
	return row, nil
}

// values are the base with what was changed, but for what is read-only.
func (s *Settings) values(row stored) (Values, error) {
	v := s.opts.Base
	v.TrustedProxies, v.Recipients = slices.Clone(some(v.TrustedProxies)), slices.Clone(some(v.Recipients))
	for name, to := range v.fields() {
		if s.readOnly(name) {
			continue
		}
		if sealed, ok := row.Secrets[name]; ok {
			text, err := s.seal.Open(nil, nil, sealed, []byte(name))
			if err != nil {
				// Mails wait for it. If nothing started, nobody could set it again.
				s.opts.Logger.Warn("a setting was sealed with another secret.key; set it again", "setting", name)
			}
			*to.(*string) = string(text)
			continue
		}
		if text, ok := row.Values[name]; ok {
			if err := json.Unmarshal(text, to); err != nil {
				return v, fmt.Errorf("read setting %s: %w", name, err)
			}
		}
	}
	return v, nil
}

// fields are the values by name.
func (v *Values) fields() map[string]any {
	return map[string]any{
		"smtp.host": &v.SMTP.Host, "smtp.port": &v.SMTP.Port, "smtp.tls": &v.SMTP.TLS, "smtp.user": &v.SMTP.User,
		"smtp.password": &v.SMTP.Password, "smtp.from": &v.SMTP.From, "trusted_proxies": &v.TrustedProxies,
		"client_ip_header": &v.ClientIPHeader, "public_url": &v.PublicURL, "contact": &v.Contact,
		"retention.events_days": &v.Retention.EventsDays, "retention.max_size": &v.Retention.MaxSize,
		"session.idle": &v.Session.Idle, "session.absolute": &v.Session.Absolute, "recipients": &v.Recipients,
	}
}

// secretFields are sealed in the database and shown to nobody.
var secretFields = []string{"smtp.password"}

func (s *Settings) readOnly(name string) bool { return slices.Contains(s.opts.ReadOnly, name) }

// Change puts a patch in force: all of it or nothing. version is that which was
// read, or -1 for any; guard.ErrStale if it was changed meanwhile. Faults are
// warder.Faults placed under body.
func (s *Settings) Change(ctx context.Context, by guard.Actor, p *SettingsPatch, version int64) error {
	return s.change(ctx, by, version, func(v *Values) error {
		moves := p.movesPassword(v)
		if err := p.apply(v); err != nil {
			return err
		}
		if err := v.check(); err != nil || !moves {
			return err
		}
		return warder.Faults{{Location: "body.smtp.password", Message: "is required with another smtp.host: the one that is kept was given for another server"}}
	})
}

// movesPassword reports whether a patch would have the password that is kept
// sent to another mail server. It is shown to nobody, so whoever may name the
// server must not get it that way.
func (p *SettingsPatch) movesPassword(v *Values) bool {
	m := p.SMTP
	return m != nil && m.Host != nil && *m.Host != "" && m.Password == nil && v.SMTP.Password != "" && !strings.EqualFold(*m.Host, v.SMTP.Host)
}

func (s *Settings) setRecipients(ctx context.Context, by guard.Actor, to []string) error {
	return s.change(ctx, by, -1, func(v *Values) error { v.Recipients = to; return nil })
}

func (s *Settings) change(ctx context.Context, by guard.Actor, version int64, edit func(*Values) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.current.Load()
	if version >= 0 && version != old.version {
		return guard.ErrStale
	}
	row, err := s.load(ctx)
	if err != nil {
		return err
	}
	next := old.values
	next.TrustedProxies, next.Recipients = slices.Clone(next.TrustedProxies), slices.Clone(next.Recipients)
	if err := edit(&next); err != nil {
		return err
	}
	if err := next.check(); err != nil {
		return err
	}
	before, after, err := s.differences(&old.values, &next, &row)
	if err != nil {
		return err
	}
	if len(after) == 0 {
		return nil
	}
	row.Version = old.version + 1
	// First what may fail for reasons of its own, then what makes it last; if
	// that fails, the old values come back.
	restart, err := s.opts.Apply(next)
	if err != nil {
		return err
	}
	audit := audited(by, time.Now(), "settings.change", strings.Join(sortedKeys(after), " "), after)
	audit.Before = mustJSON(before)
	if err := s.opts.Store.PutSetting(ctx, settingName, mustJSON(row), audit); err != nil {
		_, undo := s.opts.Apply(old.values)
		return errors.Join(err, undo)
	}
	s.current.Store(&settled{values: next, version: row.Version, restart: mergeNames(old.restart, restart)})
	return nil
}

// differences notes in row what changed and returns it by name, secrets
// hidden. A change of what is read-only is a fault.
func (s *Settings) differences(old, next *Values, row *stored) (before, after map[string]any, err error) {
	var f warder.Faults
	before, after = map[string]any{}, map[string]any{}
	was, is := old.fields(), next.fields()
	for name := range is {
		if reflect.DeepEqual(was[name], is[name]) {
			continue
		}
		if s.readOnly(name) {
			f.Add("body."+name, "is set by the configuration of the process and is changed there")
			continue
		}
		if slices.Contains(secretFields, name) {
			before[name], after[name] = "(secret)", "(changed)"
			row.Secrets[name] = s.seal.Seal(nil, nil, []byte(*is[name].(*string)), []byte(name))
			continue
		}
		before[name], after[name] = reflect.ValueOf(was[name]).Elem().Interface(), reflect.ValueOf(is[name]).Elem().Interface()
		row.Values[name] = mustJSON(after[name])
	}
	return before, after, f.Err()
}

func sortedKeys(m map[string]any) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func mergeNames(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// apply writes what a patch names.
func (p *SettingsPatch) apply(v *Values) error {
	if m := p.SMTP; m != nil {
		oldTLS := v.SMTP.TLS
		set(&v.SMTP.Host, m.Host)
		set(&v.SMTP.TLS, m.TLS)
		set(&v.SMTP.User, m.User)
		set(&v.SMTP.Password, m.Password)
		set(&v.SMTP.From, m.From)
		if m.Port == nil && m.TLS != nil && *m.TLS != oldTLS {
			v.SMTP.Port = map[string]int{"starttls": 587, "implicit": 465, "none": 25}[v.SMTP.TLS]
		}
		set(&v.SMTP.Port, m.Port)
	}
	set(&v.TrustedProxies, p.TrustedProxies)
	set(&v.ClientIPHeader, p.ClientIPHeader)
	set(&v.PublicURL, p.PublicURL)
	set(&v.Contact, p.Contact)
	if r := p.Retention; r != nil {
		set(&v.Retention.EventsDays, r.EventsDays)
		set(&v.Retention.MaxSize, r.MaxSize)
	}
	if t := p.Session; t != nil {
		set(&v.Session.Idle, t.Idle)
		set(&v.Session.Absolute, t.Absolute)
	}
	return nil
}

// check looks at all values and at how they fit together.
func (v *Values) check() error {
	var f warder.Faults
	v.SMTP.check(&f)
	if len(v.TrustedProxies) > 256 {
		f.Add("body.trusted_proxies", "must be at most 256")
	}
	prefixes, err := parseProxies(v.TrustedProxies)
	if err == nil {
		_, err = clientip.New(clientip.Options{Trusted: prefixes, Header: v.ClientIPHeader})
	}
	if faults, ok := errors.AsType[warder.Faults](err); ok {
		for _, one := range faults {
			f.Add("body."+one.Location, "%s", one.Message)
		}
	} else if err != nil {
		f.Add("body.trusted_proxies", "%s", printable(err.Error()))
	}
	v.ClientIPHeader = textproto.CanonicalMIMEHeaderKey(v.ClientIPHeader)
	if v.PublicURL != "" {
		u, err := url.Parse(v.PublicURL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			f.Add("body.public_url", "must be a URL such as https://warder.example.org")
		}
		v.PublicURL = strings.TrimRight(v.PublicURL, "/")
	}
	checkText(&f, "body.contact", v.Contact, 200, false)
	if d := v.Retention.EventsDays; d < 1 || d > 36500 {
		f.Add("body.retention.events_days", "must be from 1 to 36500")
	}
	if n := v.Retention.MaxSize; n < 64<<20 || n > 1<<50 {
		f.Add("body.retention.max_size", "must be from 64 MiB to 1 PiB, in bytes")
	}
	if n := v.Session.Idle; n < 300 || n > MaxIdle {
		f.Add("body.session.idle", "must be from 300 to %d seconds", MaxIdle)
	}
	if n := v.Session.Absolute; n < 900 || n > MaxAbsolute {
		f.Add("body.session.absolute", "must be from 900 to %d seconds", MaxAbsolute)
	}
	if v.Session.Idle > v.Session.Absolute {
		f.Add("body.session.idle", "must not be longer than session.absolute")
	}
	return f.Err()
}

func (m *SMTPValues) check(f *warder.Faults) {
	checkText(f, "body.smtp.user", m.User, 256, false)
	checkText(f, "body.smtp.password", m.Password, 1024, false)
	if strings.ContainsAny(m.Host, " /@\t\r\n") || strings.Count(m.Host, ":") == 1 || len(m.Host) > 253 {
		f.Add("body.smtp.host", "must be a host name or address, without a port")
	}
	if m.Port < 1 || m.Port > 65535 {
		f.Add("body.smtp.port", "must be from 1 to 65535")
	}
	if !slices.Contains([]string{"starttls", "implicit", "none"}, m.TLS) {
		f.Add("body.smtp.tls", "must be starttls, implicit or none")
	}
	if m.From != "" {
		if a, err := mail.ParseAddress(m.From); err != nil || strings.ContainsFunc(m.From, isControl) || !strings.Contains(a.Address, "@") {
			f.Add("body.smtp.from", "must be an e-mail address, bare or with a name")
		}
	}
	if m.Host == "" {
		return
	}
	if m.From == "" {
		f.Add("body.smtp.from", "is required with smtp.host")
	}
	if (m.User == "") != (m.Password == "") {
		f.Add("body.smtp.user", "and smtp.password are required together")
	}
	if m.User != "" && m.TLS == "none" {
		f.Add("body.smtp.tls", "must not be none where a password is sent")
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// parseProxies reads trusted proxies. Unlike a Block, a bare IPv6 address means
// exactly that address: whoever shares a proxy's /64 must not be believed.
func parseProxies(list []string) ([]netip.Prefix, error) {
	var f warder.Faults
	var out []netip.Prefix
	for i, text := range list {
		text = strings.TrimSpace(text)
		p, err := netip.ParsePrefix(text)
		if a, aerr := netip.ParseAddr(text); aerr == nil && a.Zone() == "" {
			a = a.Unmap()
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		switch {
		case err != nil:
			f.Add("trusted_proxies["+strconv.Itoa(i)+"]", "must be an address or a prefix such as 10.0.0.0/24")
		case p != p.Masked():
			f.Add("trusted_proxies["+strconv.Itoa(i)+"]", "has bits beyond its length; did you mean %s?", p.Masked())
		default:
			out = append(out, p)
		}
	}
	return out, f.Err()
}

// manageSettings registers the settings.
func (s *Server) manageSettings() {
	type answer struct {
		ETag string `header:"ETag"`
		Body SettingsView
	}
	show := func(ctx context.Context) *answer {
		now := s.settings.current.Load()
		v := now.values
		return &answer{ETag: etag(now.version), Body: SettingsView{
			SMTP: SMTPView{
				Host: v.SMTP.Host, Port: v.SMTP.Port, TLS: v.SMTP.TLS, User: v.SMTP.User, PasswordSet: v.SMTP.Password != "", From: v.SMTP.From,
			},
			TrustedProxies: v.TrustedProxies, ClientIPHeader: v.ClientIPHeader, PublicURL: v.PublicURL, Contact: v.Contact,
			Retention: v.Retention, Session: v.Session, ReadOnly: some(s.settings.opts.ReadOnly), RestartNeeded: some(now.restart),
			Client: callerOf(ctx).actor.From,
		}}
	}
	registerRaw(s, "GET /v1/settings", "get-settings", "What can be set while Warder runs", 0,
		func(ctx context.Context, _ *struct{}) (*answer, error) { return show(ctx), nil })
	registerRaw(s, "PUT /v1/settings", "put-settings", "Change settings; what is absent stays", 0,
		func(ctx context.Context, in *struct {
			IfMatch string `header:"If-Match" doc:"The ETag that was read; 412 if the settings were changed meanwhile."`
			Body    SettingsPatch
		},
		) (*answer, error) {
			n, err := matched(in.IfMatch)
			if err != nil {
				return nil, err
			}
			if err := s.settings.Change(ctx, callerOf(ctx).actor, &in.Body, n); err != nil {
				return nil, err
			}
			return show(ctx), nil
		})
}

package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
	"github.com/warderhq/warder/internal/store"
)

// KeyView is an API key without its secret.
type KeyView struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Scopes    []string   `json:"scopes"`
	Can       []string   `json:"can"`
	From      []string   `json:"from" doc:"Prefixes that it may be used from; empty: from everywhere."`
	Created   time.Time  `json:"created"`
	LastUsed  *time.Time `json:"last_used,omitempty"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
}

func newKeyView(k *store.Key) KeyView {
	v := KeyView{
		ID: k.ID, Name: k.Name, Scopes: some(k.Scopes), Can: some(k.Can), From: []string{}, Created: k.Created.UTC(),
		LastUsed: maybe(k.LastUsed), RevokedAt: maybe(k.RevokedAt),
	}
	for _, p := range k.Prefixes {
		v.From = append(v.From, prefixText(p))
	}
	return v
}

// NewKeyBody is a new API key.
type NewKeyBody struct {
	Name   string   `json:"name" minLength:"1" maxLength:"64"`
	Scopes []string `json:"scopes" minItems:"1" doc:"events, check, blocks, sessions, read, admin."`
	Can    []string `json:"can,omitempty" doc:"What the application can ask its users for: challenge, mfa."`
	From   []string `json:"from,omitempty" maxItems:"64" doc:"Prefixes that it may be used from; empty: from everywhere."`
}

// NewKey is a key with its token, which is shown this once.
type NewKey struct {
	KeyView
	Token string `json:"token" doc:"Shown this once."`
}

// parse checks a new key and makes its token.
func (b *NewKeyBody) parse(now time.Time) (k store.Key, token string, err error) {
	var f warder.Faults
	checkText(&f, "body.name", b.Name, 64, false)
	if b.Name == "" {
		f.Add("body.name", "is required")
	}
	if len(b.Scopes) == 0 {
		f.Add("body.scopes", "is required")
	}
	for i, name := range b.Scopes {
		if !slices.Contains(Scopes(), Scope(name)) {
			f.Add("body.scopes", "must be of events, check, blocks, sessions, read, admin; number %d is %q", i+1, clip(printable(name), 32))
		}
	}
	for i, name := range b.Can {
		if name != "challenge" && name != "mfa" {
			f.Add("body.can", "must be of challenge, mfa; number %d is %q", i+1, clip(printable(name), 32))
		}
	}
	var prefixes []netip.Prefix
	for i, text := range b.From {
		var one warder.Faults
		if p := parseSource(&one, "body.from", text); p.IsValid() {
			prefixes = append(prefixes, p)
		} else {
			f.Add("body.from", "number %d must be an address or a prefix", i+1)
		}
	}
	if err := f.Err(); err != nil {
		return k, "", err
	}
	id, token, hash := NewToken()
	scopes, can := slices.Clone(b.Scopes), slices.Clone(b.Can)
	slices.Sort(scopes)
	slices.Sort(can)
	return store.Key{
		ID: id, Name: b.Name, Hash: [32]byte(hash), Scopes: slices.Compact(scopes), Can: slices.Compact(can),
		Prefixes: prefixes, Created: now.UTC(),
	}, token, nil
}

// CreateKey makes an API key and puts it in force: the one way in, for the
// API as for the first start.
func CreateKey(ctx context.Context, db *store.DB, by guard.Actor, in NewKeyBody) (NewKey, error) {
	now := time.Now()
	k, token, err := in.parse(now)
	if err != nil {
		return NewKey{}, err
	}
	view := newKeyView(&k)
	if err := db.CreateKey(ctx, k, audited(by, now, "key.create", k.Name, view)); errors.Is(err, store.ErrConflict) {
		return NewKey{}, newProblem(http.StatusConflict, "a live API key has this name")
	} else if err != nil {
		return NewKey{}, err
	}
	return NewKey{KeyView: view, Token: token}, nil
}

func (s *Server) managePeople() {
	db := s.opts.Store
	register(s, "GET /v1/keys", "list-keys", "API keys", 0,
		func(ctx context.Context, _ *struct{}) (Items[KeyView], error) {
			list, err := db.Keys(ctx)
			return Items[KeyView]{Items: views(list, newKeyView)}, err
		})
	register(s, "POST /v1/keys", "create-key", "Make an API key; its token is shown this once", http.StatusCreated,
		func(ctx context.Context, in *body[NewKeyBody]) (NewKey, error) {
			// Such a key makes owners, so it must take one to make it.
			if who := callerOf(ctx).operator; who != nil && !who.Role.Includes(operator.Owner) && slices.Contains(in.Body.Scopes, string(ScopeAdmin)) {
				return NewKey{}, newProblem(http.StatusForbidden, "Your role "+string(who.Role)+" may not make a key of scope admin, which may do what owners may; it takes owner.")
			}
			out, err := CreateKey(ctx, db, callerOf(ctx).actor, in.Body)
			if err == nil {
				err = s.loadKeys(ctx)
			}
			return out, err
		})
	registerRaw(s, "DELETE /v1/keys/{id}", "revoke-key", "Revoke an API key by id or name, at once", http.StatusNoContent,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		},
		) (*struct{}, error) {
			now := time.Now()
			if err := db.RevokeKey(ctx, in.ID, now.UTC(), audited(callerOf(ctx).actor, now, "key.revoke", in.ID, nil)); err != nil {
				return nil, err
			}
			s.keys.drop(in.ID)
			return nil, s.loadKeys(ctx)
		})
	s.manageOperators()
	s.manageNotes()
	register(s, "POST /v1/alerts/test", "test-alert", "Send a test mail and show what the mail server answered", 0,
		func(ctx context.Context, in *body[TestAlertBody]) (Items[AlertTest], error) {
			return s.testAlert(ctx, in.Body.To)
		})
}

// TestAlertBody says whom to send a test mail.
type TestAlertBody struct {
	To []string `json:"to,omitempty" maxItems:"20" doc:"Empty: everybody who is told of alerts."`
}

// AlertTest is what became of one test mail.
type AlertTest struct {
	Recipient string `json:"recipient"`
	OK        bool   `json:"ok"`
	Answer    string `json:"answer" doc:"The mail server's own words, or where the mail was written."`
	Error     string `json:"error,omitempty"`
}

func (s *Server) testAlert(ctx context.Context, to []string) (Items[AlertTest], error) {
	out := Items[AlertTest]{Items: []AlertTest{}}
	if s.opts.Alerts == nil {
		return out, newProblem(http.StatusNotFound, "This instance sends no alerts.")
	}
	var f warder.Faults
	for i, address := range to {
		if _, err := operator.FoldEmail(address); err != nil {
			f.Add("body.to", "number %d %s", i+1, printable(err.Error()))
		}
	}
	if err := f.Err(); err != nil {
		return out, err
	}
	if len(to) == 0 {
		var err error
		if to, err = s.opts.Alerts.Recipients(ctx); err != nil {
			return out, err
		}
	}
	if len(to) == 0 {
		return out, warder.Fault{Location: "body.to", Message: "is required while there is no owner, no admin and no smtp.to"}
	}
	err := s.opts.Store.AppendAudit(ctx, audited(callerOf(ctx).actor, time.Now(), "alert.test", "", to))
	if err != nil {
		return out, err
	}
	for _, address := range to {
		answer, err := s.opts.Alerts.SendTest(ctx, address)
		t := AlertTest{Recipient: address, OK: err == nil, Answer: answer}
		if err != nil {
			t.Error = err.Error()
		}
		out.Items = append(out.Items, t)
	}
	return out, nil
}

// NoteBody is a note.
type NoteBody struct {
	On   string `json:"on" minLength:"1" maxLength:"300" doc:"ip:203.0.113.7, account:alice, block:<id> or event:<id>."`
	Text string `json:"text" minLength:"1" maxLength:"2000"`
}

func (s *Server) manageNotes() {
	db := s.opts.Store
	register(s, "GET /v1/notes", "list-notes", "What people noted, latest first", 0,
		func(ctx context.Context, in *struct {
			On string `query:"on" maxLength:"300" doc:"What it was noted on: ip:203.0.113.7, account:alice, block:<id>, event:<id>."`
			Paging
		},
		) (Items[store.Note], error) {
			list, err := db.Notes(ctx, in.On, in.page())
			return Items[store.Note]{Items: some(list.Items), Next: list.Next}, err
		})
	register(s, "POST /v1/notes", "create-note", "Note something", http.StatusCreated,
		func(ctx context.Context, in *body[NoteBody]) (store.Note, error) {
			var f warder.Faults
			checkText(&f, "body.on", in.Body.On, 300, false)
			checkText(&f, "body.text", in.Body.Text, maxNote, true)
			if err := f.Err(); err != nil {
				return store.Note{}, err
			}
			a, now := callerOf(ctx).actor, time.Now().UTC()
			id, _, _ := NewToken()
			n := store.Note{ID: id, On: in.Body.On, Text: in.Body.Text, By: a.Name, Time: now}
			err := db.AddNote(ctx, n, audited(a, now, "note.create", n.On, n))
			if errors.Is(err, store.ErrFull) {
				return store.Note{}, newProblem(http.StatusConflict, "There are 1000 notes on this, or 200000 altogether; delete some first.")
			}
			return n, err
		})
}

package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/feed"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/policy"
)

// RevisionView is one version of the policy.
type RevisionView struct {
	Revision int64      `json:"revision"`
	Time     *time.Time `json:"time"`
	By       string     `json:"by,omitempty"`
	Comment  string     `json:"comment,omitempty"`
	Document string     `json:"document,omitempty" doc:"YAML; only of a single revision."`
}

func newRevisionView(r *guard.Revision) RevisionView {
	return RevisionView{Revision: r.N, Time: maybe(r.Time), By: r.By, Comment: r.Comment}
}

// PresetView is a ready-made policy.
type PresetView struct {
	Name     string           `json:"name"`
	Document *policy.Document `json:"document" nullable:"false"`
	YAML     string           `json:"yaml"`
}

// policyAnswer is a document as it is, with the revision as its tag.
type policyAnswer struct {
	ContentType string `header:"Content-Type"`
	ETag        string `header:"ETag"`
	ReadOnly    string `header:"X-Warder-Read-Only"`
	Body        []byte
}

// RevisionPath names a version of the policy.
type RevisionPath struct {
	N int64 `path:"n" minimum:"1"`
}

// PolicyBody is a document as it comes.
type PolicyBody struct {
	ContentType string `header:"Content-Type"`
	RawBody     []byte `contentType:"application/yaml"`
}

const maxComment = 500

var errReadOnly = newProblem(http.StatusConflict, "The policy is ruled by a file (policy_file) and read-only here.")

func (s *Server) managePolicy() {
	db, g := s.opts.Store, s.opts.Guard
	registerRaw(s, "GET /v1/policy", "get-policy", "The policy in force, as JSON or (Accept: application/yaml) YAML", 0,
		func(_ context.Context, in *struct {
			Accept string `header:"Accept"`
			Format string `query:"format" enum:"json,yaml" doc:"Instead of the Accept header."`
		},
		) (*policyAnswer, error) {
			d, n := g.Policy()
			out := &policyAnswer{ETag: etag(n)}
			if s.opts.PolicyFile != "" {
				out.ReadOnly = "policy_file"
			}
			if in.Format == "yaml" || in.Format == "" && strings.Contains(in.Accept, "yaml") {
				out.ContentType, out.Body = "application/yaml", d.YAML()
				return out, nil
			}
			text, err := json.Marshal(d)
			out.ContentType, out.Body = "application/json", text
			return out, err
		})
	type put struct {
		IfMatch string `header:"If-Match" doc:"The ETag that was read; 412 if the policy was changed meanwhile."`
		Comment string `query:"comment" maxLength:"500"`
		PolicyBody
	}
	registerRaw(s, "PUT /v1/policy", "put-policy", "Put a policy in force (JSON or YAML, by Content-Type)", 0,
		func(ctx context.Context, in *put) (*revisionAnswer, error) {
			if s.opts.PolicyFile != "" {
				return nil, errReadOnly
			}
			var f warder.Faults
			checkText(&f, "query.comment", in.Comment, maxComment, false)
			n, err := matched(in.IfMatch)
			if err != nil {
				return nil, err
			}
			if err := f.Err(); err != nil {
				return nil, err
			}
			d, err := parsePolicy(in.PolicyBody)
			if err != nil {
				return nil, err
			}
			return setPolicy(ctx, g, d, in.Comment, n)
		})
	register(s, "GET /v1/policy/revisions", "list-policy-revisions", "Versions of the policy, latest first", 0,
		func(ctx context.Context, in *Paging) (Items[RevisionView], error) {
			list, err := db.PolicyRevisions(ctx, in.page())
			return Items[RevisionView]{Items: views(list.Items, newRevisionView), Next: list.Next}, err
		})
	register(s, "GET /v1/policy/revisions/{n}", "get-policy-revision", "One version of the policy", 0,
		func(ctx context.Context, in *RevisionPath) (RevisionView, error) {
			r, err := db.PolicyRevision(ctx, in.N)
			if err != nil {
				return RevisionView{}, err
			}
			v := newRevisionView(r)
			v.Document = string(r.Document)
			return v, nil
		})
	registerRaw(s, "POST /v1/policy/revisions/{n}/restore", "restore-policy-revision", "Put an earlier version in force again", 0,
		func(ctx context.Context, in *struct {
			RevisionPath
			IfMatch string `header:"If-Match"`
		},
		) (*revisionAnswer, error) {
			if s.opts.PolicyFile != "" {
				return nil, errReadOnly
			}
			n, err := matched(in.IfMatch)
			if err != nil {
				return nil, err
			}
			r, err := db.PolicyRevision(ctx, in.N)
			if err != nil {
				return nil, err
			}
			d, err := policy.Parse(r.Document)
			if err != nil {
				return nil, inBody(err)
			}
			return setPolicy(ctx, g, d, "restored revision "+strconv.FormatInt(in.N, 10), n)
		})
	register(s, "GET /v1/policy/presets", "list-policy-presets", "Ready-made policies", 0,
		func(_ context.Context, _ *struct{}) (Items[PresetView], error) {
			list, err := presetViews()
			return Items[PresetView]{Items: list}, err
		})
	register(s, "POST /v1/policy/preview", "preview-policy", "What a policy would have done to the last days", 0,
		func(ctx context.Context, in *struct {
			Days int `query:"days" minimum:"1" maximum:"90" default:"7"`
			PolicyBody
		},
		) (Preview, error) {
			d, err := parsePolicy(in.PolicyBody)
			if err != nil {
				return Preview{}, err
			}
			return s.preview(ctx, d, in.Days)
		})
	s.manageProviders()
}

func presetViews() ([]PresetView, error) {
	out := []PresetView{}
	for _, name := range policy.Presets() {
		d, err := policy.Preset(name)
		if err != nil {
			return out, err
		}
		out = append(out, PresetView{Name: name, Document: d, YAML: string(d.YAML())})
	}
	return out, nil
}

// revisionAnswer tells what a change of the policy became.
type revisionAnswer struct {
	ETag string `header:"ETag"`
	Body RevisionView
}

func setPolicy(ctx context.Context, g *guard.Guard, d *policy.Document, comment string, n int64) (*revisionAnswer, error) {
	r, err := g.SetPolicy(ctx, callerOf(ctx).actor, d, comment, n)
	if err != nil {
		return nil, inBody(err)
	}
	return &revisionAnswer{ETag: etag(r.N), Body: newRevisionView(&r)}, nil
}

func etag(n int64) string { return `"` + strconv.FormatInt(n, 10) + `"` }

// matched reads If-Match: the revision, or -1 for any.
func matched(header string) (int64, error) {
	if header == "" || header == "*" {
		return -1, nil
	}
	text, ok := strings.CutPrefix(header, `"`)
	text, ok2 := strings.CutSuffix(text, `"`)
	n, err := strconv.ParseInt(text, 10, 64)
	if !ok || !ok2 || err != nil || n < 0 {
		return 0, warder.Fault{Location: "header.If-Match", Message: "must be the ETag that was read"}
	}
	return n, nil
}

// parsePolicy reads a document that came as JSON or YAML. The parser is the
// one for YAML, of which JSON is a part; JSON must be strict besides.
func parsePolicy(in PolicyBody) (*policy.Document, error) {
	media, _, err := mime.ParseMediaType(in.ContentType)
	if err != nil {
		media = ""
	}
	switch media {
	case "application/json":
		if depth(in.RawBody) > maxDepth {
			return nil, fault(http.StatusUnprocessableEntity, "body", "must be nested at most 32 levels deep")
		}
		dec := jsontext.NewDecoder(strings.NewReader(string(in.RawBody)))
		if _, err := dec.ReadValue(); err != nil {
			return nil, fault(http.StatusBadRequest, "body", "is not JSON: "+clip(printable(err.Error()), 200))
		}
		if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
			return nil, fault(http.StatusBadRequest, "body", "has something after the end of its JSON")
		}
	case "application/yaml", "application/x-yaml", "text/yaml":
	default:
		return nil, newProblem(http.StatusUnsupportedMediaType, "Content-Type must be application/json or application/yaml.")
	}
	// huma reuses the buffer of the body for the next request.
	d, err := policy.Parse([]byte(string(in.RawBody)))
	if err != nil {
		if faults, ok := errors.AsType[warder.Faults](err); ok {
			return nil, inBody(faults)
		}
		return nil, fault(http.StatusUnprocessableEntity, "body", clip(printable(err.Error()), 300))
	}
	return d, nil
}

// ProviderView is a threat feed: what the policy says of it, and how it is.
type ProviderView struct {
	Name    string          `json:"name"`
	Enabled bool            `json:"enabled"`
	URL     string          `json:"url,omitempty"`
	Format  string          `json:"format,omitempty"`
	Refresh int64           `json:"refresh,omitempty" doc:"Seconds."`
	Levels  json.RawMessage `json:"levels,omitempty"`
	Status  *feed.Status    `json:"status" doc:"null while it is switched off."`
}

func (s *Server) manageProviders() {
	register(s, "GET /v1/providers", "list-providers", "Threat feeds and how they are", 0,
		func(_ context.Context, _ *struct{}) (Items[ProviderView], error) {
			return Items[ProviderView]{Items: s.providers()}, nil
		})
	act := func(name string, do func() error) (ProviderView, error) {
		var out ProviderView
		if s.opts.Providers == nil {
			return out, guard.ErrNotFound
		}
		if err := do(); err != nil {
			if errors.Is(err, guard.ErrNotFound) || errors.Is(err, guard.ErrConflict) {
				return out, err
			}
			// The caller asked for it and needs to know what the source said.
			return out, newProblem(http.StatusBadGateway, clip(printable(err.Error()), 300))
		}
		for _, p := range s.providers() {
			if p.Name == name {
				return p, nil
			}
		}
		return out, guard.ErrNotFound
	}
	type named struct {
		Name string `path:"name" maxLength:"64"`
	}
	register(s, "POST /v1/providers/{name}/refresh", "refresh-provider", "Fetch a list now", 0,
		func(ctx context.Context, in *named) (ProviderView, error) {
			v, err := act(in.Name, func() error { return s.opts.Providers.Refresh(ctx, in.Name) })
			if err == nil {
				err = s.opts.Store.AppendAudit(ctx, audited(callerOf(ctx).actor, time.Now(), "provider.refresh", in.Name, nil))
			}
			return v, err
		})
	register(s, "POST /v1/providers/{name}/approve", "approve-provider", "Put in force a list that was held back", 0,
		func(ctx context.Context, in *named) (ProviderView, error) {
			if s.opts.Providers == nil {
				return ProviderView{}, guard.ErrNotFound
			}
			// The audit row comes first: no change without it.
			if err := s.opts.Store.AppendAudit(ctx, audited(callerOf(ctx).actor, time.Now(), "provider.approve", in.Name, nil)); err != nil {
				return ProviderView{}, err
			}
			return act(in.Name, func() error { return s.opts.Providers.Approve(ctx, in.Name) })
		})
}

// providers joins what the policy says with how the feeds are.
func (s *Server) providers() []ProviderView {
	status := map[string]*feed.Status{}
	if s.opts.Providers != nil {
		for _, st := range s.opts.Providers.Statuses() {
			status[st.Name] = &st
		}
	}
	out := []ProviderView{}
	d, _ := s.opts.Guard.Policy()
	if d == nil {
		return out
	}
	for i := range d.Providers {
		p := &d.Providers[i]
		levels, _ := json.Marshal(p.Levels) // our own types encode
		out = append(out, ProviderView{
			Name: p.Name, Enabled: p.Enabled, URL: p.URL, Format: p.Format, Refresh: p.Refresh, Levels: levels,
			Status: status[p.Name],
		})
	}
	return out
}

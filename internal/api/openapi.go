package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warderhq/warder"
)

// The bodies of the data plane as the document describes them. The decoder
// reads the same names; a test compares the two.

// EventBody is an event as it is sent.
type EventBody struct {
	ID        string          `json:"id,omitempty" maxLength:"64" doc:"Makes a repeat within 24 h harmless."`
	Name      string          `json:"name" pattern:"^[A-Z][A-Z0-9_]{1,63}$" example:"USER_LOGIN_FAILURE"`
	Time      string          `json:"time,omitempty" format:"date-time" doc:"When it happened; absent: now. At most 5 minutes ahead."`
	IP        *string         `json:"ip" example:"203.0.113.7" doc:"Address of the client; null if it is not known."`
	Account   string          `json:"account,omitempty" maxLength:"256"`
	Realm     string          `json:"realm,omitempty" maxLength:"64" example:"user"`
	Session   string          `json:"session,omitempty" maxLength:"256" doc:"Opaque; send a hash."`
	Device    string          `json:"device,omitempty" maxLength:"256"`
	UserAgent string          `json:"user_agent,omitempty" maxLength:"1024"`
	Method    string          `json:"method,omitempty" maxLength:"16"`
	Path      string          `json:"path,omitempty" maxLength:"2048"`
	Reason    string          `json:"reason,omitempty" maxLength:"64" example:"wrong_password"`
	Guess     *GuessBody      `json:"guess,omitempty"`
	Details   json.RawMessage `json:"details,omitempty" doc:"Any JSON of at most 8 KiB."`
}

// GuessBody holds keyed hashes of a wrong password.
type GuessBody struct {
	Same    string `json:"same,omitempty" maxLength:"64" pattern:"^[0-9a-fA-F]*$" doc:"Over account and password."`
	Popular string `json:"popular,omitempty" maxLength:"64" pattern:"^[0-9a-fA-F]*$" doc:"Over the password alone."`
}

// EventsBody is a batch.
type EventsBody struct {
	Events []EventBody `json:"events" maxItems:"1000"`
}

// EventsAnswer is the answer to a batch.
type EventsAnswer struct {
	Results []EventResult `json:"results" doc:"One for each event, at its index."`
}

// CheckBody asks for a decision.
type CheckBody struct {
	IP        *string `json:"ip" example:"203.0.113.7" doc:"Address of the client; null if it is not known."`
	Account   string  `json:"account,omitempty" maxLength:"256"`
	Realm     string  `json:"realm,omitempty" maxLength:"64"`
	Session   string  `json:"session,omitempty" maxLength:"256"`
	Device    string  `json:"device,omitempty" maxLength:"256"`
	UserAgent string  `json:"user_agent,omitempty" maxLength:"1024"`
	Event     string  `json:"event,omitempty" maxLength:"64" example:"USER_LOGIN" doc:"Stem of the event that it is about."`
	Method    string  `json:"method,omitempty" maxLength:"16"`
	Path      string  `json:"path,omitempty" maxLength:"2048"`
	Clearance string  `json:"clearance,omitempty" maxLength:"1024" doc:"Of a challenge that was solved."`
}

// AttemptBody announces a sign-in.
type AttemptBody struct {
	CheckBody
	Wait int `json:"wait,omitempty" minimum:"0" maximum:"10" default:"2" doc:"Seconds to wait for a free slot."`
}

// SettleBody is the outcome of an attempt.
type SettleBody struct {
	Outcome string     `json:"outcome" enum:"success,failure,error" doc:"error: the application could not check."`
	Reason  string     `json:"reason,omitempty" maxLength:"64"`
	Guess   *GuessBody `json:"guess,omitempty"`
	Session string     `json:"session,omitempty" maxLength:"256"`
	Account string     `json:"account,omitempty" maxLength:"256" doc:"If it was not known at the start."`
}

// PoseBody asks for a challenge.
type PoseBody struct {
	IP      string `json:"ip"`
	Account string `json:"account,omitempty" maxLength:"256"`
	Realm   string `json:"realm,omitempty" maxLength:"64"`
	Purpose string `json:"purpose,omitempty" maxLength:"64"`
}

// VerifyBody spends a solved challenge.
type VerifyBody struct {
	Token string `json:"token" maxLength:"8192"`
	IP    string `json:"ip"`
	Realm string `json:"realm,omitempty" maxLength:"64"`
}

// described is a hot call in the document.
type described struct {
	pattern, id, summary string
	body, answer         reflect.Type
	params               []*huma.Param
	idempotent           bool
	errors               []int
	status               int // 0: 200
}

func hotCalls() []described {
	return []described{
		{
			pattern: "POST /v1/check", id: "check", summary: "Ask for a decision; counts nothing",
			body: reflect.TypeFor[CheckBody](), answer: reflect.TypeFor[warder.Decision](),
		},
		{
			pattern: "POST /v1/events", id: "report-events", idempotent: true,
			summary: "Report what happened: one event, a batch, or NDJSON. 2xx means durable",
			body:    reflect.TypeFor[EventBody](), answer: reflect.TypeFor[EventAnswer](),
			errors: []int{http.StatusConflict, http.StatusServiceUnavailable},
		},
		{
			pattern: "POST /v1/attempts", id: "begin-attempt", summary: "Announce a sign-in before its password is checked", idempotent: true,
			body: reflect.TypeFor[AttemptBody](), answer: reflect.TypeFor[AttemptAnswer](),
			errors: []int{http.StatusServiceUnavailable},
		},
		{
			pattern: "POST /v1/attempts/{token}", id: "settle-attempt", summary: "Report the outcome of an attempt; its decision is final",
			body: reflect.TypeFor[SettleBody](), answer: reflect.TypeFor[EventAnswer](),
			params: []*huma.Param{{Name: "token", In: "path", Required: true, Schema: &huma.Schema{Type: "string"}}},
			errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable},
		},
		{
			pattern: "POST /v1/challenge", id: "pose-challenge", summary: "Issue a challenge",
			body: reflect.TypeFor[PoseBody](), answer: reflect.TypeFor[PosedAnswer](), errors: []int{http.StatusNotFound},
		},
		{
			pattern: "POST /v1/challenge/verify", id: "verify-challenge", summary: "Spend a solved challenge, once, for a clearance",
			body: reflect.TypeFor[VerifyBody](), answer: reflect.TypeFor[VerifyAnswer](), errors: []int{http.StatusNotFound},
		},
		{
			pattern: "GET /v1/sessions/revocations", id: "list-revocations", summary: "Sessions that have to end; a long poll",
			answer: reflect.TypeFor[RevocationsAnswer](),
			params: []*huma.Param{
				{Name: "after", In: "query", Description: "The next of the answer before; absent: from the oldest kept.", Schema: &huma.Schema{Type: "integer", Minimum: new(float64)}},
				{Name: "wait", In: "query", Description: "Seconds to wait for a revocation; absent: none.", Schema: &huma.Schema{Type: "integer", Minimum: new(float64), Maximum: number(maxPoll)}},
			},
			errors: []int{http.StatusUnprocessableEntity},
		},
		{
			pattern: "GET /v1/stream", id: "stream", summary: "Server-sent events: event, block, block_end, demand, policy, reset",
			errors: []int{http.StatusUnprocessableEntity, http.StatusServiceUnavailable},
			params: []*huma.Param{
				{Name: "Last-Event-ID", In: "header", Description: "Catch up from here; reset comes first if that is not possible.", Schema: &huma.Schema{Type: "string"}},
				{Name: "last_event_id", In: "query", Description: "The same, for those who cannot send a header.", Schema: &huma.Schema{Type: "string"}},
			},
		},
		{pattern: "POST /v1/csp-report", id: "csp-report", summary: "What a browser reports of a page that broke the content security policy", status: http.StatusNoContent},
		{
			pattern: "GET /authz/forward", id: "forward-auth", summary: "May this request go on? For Caddy, Traefik and HAProxy; any method",
			errors: []int{http.StatusUnauthorized, http.StatusForbidden},
			params: []*huma.Param{forwarded("X-Forwarded-For", "The client."), forwarded("X-Forwarded-Method", "Method of the request."), forwarded("X-Forwarded-Uri", "Path and query of the request.")},
		},
		{
			pattern: "GET /authz/nginx", id: "forward-auth-nginx", summary: "May this request go on? For auth_request of nginx; any method",
			errors: []int{http.StatusUnauthorized, http.StatusForbidden},
			params: []*huma.Param{forwarded("X-Forwarded-For", "The client."), forwarded("X-Original-Method", "Method of the request."), forwarded("X-Original-URL", "The request's own URL.")},
		},
		{
			pattern: "GET /authz/envoy/{path...}", id: "forward-auth-envoy", summary: "May this request go on? For ext_authz of Envoy; any method",
			errors: []int{http.StatusUnauthorized, http.StatusForbidden},
			params: []*huma.Param{
				{Name: "path", In: "path", Required: true, Description: "The path of the request; with slashes.", Schema: &huma.Schema{Type: "string"}},
				forwarded("X-Forwarded-For", "The client."),
			},
		},
		{
			pattern: "GET /denied", id: "denied", summary: "The access-denied page; ref is the reference to show", status: http.StatusForbidden,
			params: []*huma.Param{{Name: "ref", In: "query", Description: "The reference of the refusal, such as 7K3M-22QP.", Schema: &huma.Schema{Type: "string"}}},
		},
		{pattern: "GET /healthz", id: "healthz", summary: "The process is up"},
		{
			pattern: "GET /readyz", id: "readyz", summary: "Everything is loaded; with what is degraded",
			answer: reflect.TypeFor[Readiness](), errors: []int{http.StatusServiceUnavailable},
		},
		{pattern: "GET /metrics", id: "metrics", summary: "Figures for Prometheus"},
	}
}

// forwarded is a header of forward auth.
func forwarded(name, doc string) *huma.Param {
	return &huma.Param{Name: name, In: "header", Description: doc, Schema: &huma.Schema{Type: "string"}}
}

func number(n int) *float64 {
	f := float64(n)
	return &f
}

// describe completes the OpenAPI document with the hot calls, encodes it once
// and serves it.
func (s *Server) describe() error {
	doc := s.huma.OpenAPI()
	reg := doc.Components.Schemas
	problem := reg.Schema(reflect.TypeFor[Problem](), true, "Problem")
	for _, call := range hotCalls() {
		method, path, _ := strings.Cut(call.pattern, " ")
		row := s.router.rows[call.pattern]
		if row == nil {
			return fmt.Errorf("describe %s: not in the table of routes", call.pattern)
		}
		op := &huma.Operation{
			OperationID: call.id, Method: method, Path: strings.Replace(path, "...}", "}", 1), Summary: call.summary, Tags: []string{"data plane"},
			Parameters: call.params, Responses: map[string]*huma.Response{},
		}
		if strings.HasPrefix(path, "/v1/") && !row.open {
			secure(op, row)
		} else {
			op.Tags = []string{"operation"}
		}
		if call.idempotent {
			op.Parameters = append(op.Parameters, idempotencyParam())
		}
		if call.body != nil {
			schema := reg.Schema(call.body, true, "")
			content := map[string]*huma.MediaType{"application/json": {Schema: schema}}
			if call.id == "report-events" {
				batch := reg.Schema(reflect.TypeFor[EventsBody](), true, "")
				content["application/json"].Schema = &huma.Schema{OneOf: []*huma.Schema{schema, batch}}
				content["application/x-ndjson"] = &huma.MediaType{Schema: schema}
			}
			op.RequestBody = &huma.RequestBody{Required: true, Content: content}
		}
		status := cmp.Or(call.status, http.StatusOK)
		ok := &huma.Response{Description: http.StatusText(status)}
		if call.answer != nil {
			schema := reg.Schema(call.answer, true, "")
			if call.id == "report-events" {
				batch := reg.Schema(reflect.TypeFor[EventsAnswer](), true, "")
				schema = &huma.Schema{OneOf: []*huma.Schema{schema, batch}}
			}
			ok.Content = map[string]*huma.MediaType{"application/json": {Schema: schema}}
		}
		op.Responses[strconv.Itoa(status)] = ok
		statuses := call.errors
		if call.body != nil {
			statuses = append(statuses, http.StatusBadRequest, http.StatusRequestEntityTooLarge,
				http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity)
		}
		if !row.open {
			statuses = append(statuses, http.StatusUnauthorized, http.StatusForbidden)
		}
		for _, status := range statuses {
			op.Responses[fmt.Sprint(status)] = &huma.Response{
				Description: http.StatusText(status),
				Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: problem}},
			}
		}
		doc.AddOperation(op)
	}
	delete(reg.Map(), "ErrorModel") // huma's own, in whose place Problem stands
	delete(reg.Map(), "ErrorDetail")
	for name, schema := range reg.Map() {
		spell(schema)
		orNull(reg, name, schema)
	}
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			finish(op, problem, reg.Map())
		}
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	s.router.handle("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request, _ *caller) {
		w.Header()["Content-Type"] = []string{"application/openapi+json"}
		_, _ = w.Write(text)
	})
	return nil
}

func idempotencyParam() *huma.Param {
	return &huma.Param{
		Name: "Idempotency-Key", In: "header", Description: "Makes a repeat within 24 h harmless.",
		Schema: &huma.Schema{Type: "string", MaxLength: new(maxIdempotency)},
	}
}

// words are the values that fields of these names have wherever they stand.
var words = map[string][]any{
	"action":   {"allow", "challenge", "mfa", "block"},
	"severity": {"info", "warning", "high", "critical"},
	"worst":    {"info", "warning", "high", "critical"},
	"mode":     {"off", "observe", "enforce"},
	"role":     {"owner", "admin", "analyst", "viewer"},
}

// spell lists the values of words, which huma sees as texts.
func spell(schema *huma.Schema) {
	for name, p := range schema.Properties {
		if p.Type == "array" {
			p.Nullable = false // ours are empty, never null
		}
		// An audit row's action is another word.
		if list := words[name]; list != nil && p.Type == "string" && p.Enum == nil && schema.Properties["actor"] == nil {
			p.Enum = list
		}
	}
}

// finish says of a call what all of its kind have in common.
func finish(op *huma.Operation, problem *huma.Schema, schemas map[string]*huma.Schema) {
	if op == nil {
		return
	}
	op.Parameters = slices.DeleteFunc(op.Parameters, func(p *huma.Param) bool { return p.Name == "Content-Type" || p.Name == "Accept" })
	if op.RequestBody != nil && op.RequestBody.Content["application/yaml"] != nil {
		op.RequestBody.Content["application/yaml"].Schema = &huma.Schema{Type: "string"}
		op.RequestBody.Content["application/json"] = &huma.MediaType{Schema: &huma.Schema{Ref: "#/components/schemas/Document"}}
	}
	for status, r := range op.Responses {
		if status == "default" {
			r.Description = "A problem"
			r.Content = map[string]*huma.MediaType{"application/problem+json": {Schema: problem}}
		}
	}
	managed := op.Responses["default"] != nil
	if managed && op.Method != http.MethodGet && !forgets(op.Path) {
		op.Parameters = append(op.Parameters, idempotencyParam())
	}
	if managed {
		failures(op, problem)
	}
	status := http.StatusOK
	if op.OperationID == "denied" {
		status = http.StatusForbidden
	}
	media(op, status, schemas)
	if strings.HasPrefix(op.OperationID, "forward-auth") {
		asked(op)
	}
	meaning(op)
}

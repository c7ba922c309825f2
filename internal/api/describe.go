package api

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// What the OpenAPI document says beyond what the types of the handlers say by
// themselves: bodies that are written as they are, what every call of a kind
// answers when it fails, and the meaning of parameters that many calls share.

// bodies are the media types of answers that are no view. An empty name of a
// schema is a text.
var bodies = map[string]map[string]string{
	"get-policy":    {"application/json": "Document", "application/yaml": ""},
	"export-events": {"text/csv": "", "application/x-ndjson": "", "application/json": "[]EventView"},
	"export-blocks": {"text/csv": "", "application/x-ndjson": "", "application/json": "[]BlockView"},
	"export-audit":  {"text/csv": "", "application/x-ndjson": "", "application/json": "[]AuditRow"},
	"export-report": {"text/csv": "", "application/x-ndjson": "", "application/json": "{}", "text/html": ""},
	"stream":        {"text/event-stream": ""},
	"metrics":       {"text/plain": ""},
	"healthz":       {"application/json": "{}"},
	"denied":        {"text/html": "", "application/problem+json": "Problem"},
}

// conflicts are the calls that can meet something that stands in their way.
var conflicts = []string{
	"create-block", "edit-block", "lift-block", "lift-blocks", "put-policy", "restore-policy-revision", "put-settings", "create-trusted",
	"create-key", "create-operator", "edit-operator", "reset-operator", "invite", "accept-invitation", "set-up", "create-note", "create-view",
	"begin-totp", "confirm-totp", "new-recovery-codes", "passkey-creation-options", "add-passkey",
}

// params say what parameters of these names mean wherever nothing else is said.
var params = map[string]string{
	"id":         "The id that the list gave.",
	"ip":         "An address; also a prefix where a list is filtered.",
	"account":    "Account, in any spelling of it.",
	"realm":      "Realm of the account, such as user or admin.",
	"rule":       "Id of a rule of the policy.",
	"session":    "The session as the application sent it.",
	"event":      "Name of an event, or its id where one event is meant.",
	"source":     "Who made it: a rule, a person (manual), the policy or an import.",
	"state":      "Only those in this state.",
	"reviewed":   "true: only those that somebody has looked at; false: the others.",
	"suspicious": "true: only those that deserve a look.",
	"from":       "At or after this time (RFC 3339), such as 2026-03-01T00:00:00Z.",
	"to":         "Before this time (RFC 3339), such as 2026-04-01T00:00:00Z.",
	"format":     "How the answer is written.",
	"action":     "What was done, such as block_made; a list is separated by commas.",
	"target":     "What it was done to.",
	"token":      "The token of the link, or of the attempt.",
	"n":          "Number of the revision.",
	"name":       "Name of the provider in the policy.",
	"by":         "What the neighbours have in common.",
	"recipient":  "Address of the recipient.",
	"comment":    "Why, for the list of revisions.",
	"days":       "How many days back.",
	"If-Match":   "The ETag that was read; 412 if it was changed meanwhile.",
	"ref":        "The reference as it was shown, such as 7K3M-22QP.",
	"q":          "What to look for.",
	"limit":      "Items at most.",
	"page":       "The page of the dashboard that a filter belongs to.",
	"path":       "The path of the request that is asked about.",
}

// meaning completes what a call says of its parameters.
func meaning(op *huma.Operation) {
	for _, p := range op.Parameters {
		if p.Description == "" && (p.Schema == nil || p.Schema.Description == "") {
			p.Description = params[p.Name]
		}
	}
}

// media says what a call answers that writes its body itself.
func media(op *huma.Operation, status int, schemas map[string]*huma.Schema) {
	types, ok := bodies[op.OperationID]
	if !ok {
		return
	}
	content := map[string]*huma.MediaType{}
	for name, schema := range types {
		of := &huma.Schema{Type: huma.TypeString}
		switch item, isList := strings.CutPrefix(schema, "[]"); {
		case schema == "{}":
			of = &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
		case isList:
			of = &huma.Schema{Type: huma.TypeArray, Items: refTo(schemas, item)}
		case schema != "":
			of = refTo(schemas, schema)
		}
		content[name] = &huma.MediaType{Schema: of}
	}
	op.Responses[strconv.Itoa(status)].Content = content
}

// asked says what forward auth answers besides yes: a page or a problem, and
// the headers that a proxy can go by.
func asked(op *huma.Operation) {
	op.Description = "For trusted proxies, by their address, and with an API key of scope `check`."
	page := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	op.Responses["403"].Content["text/html"] = page
	location := &huma.Param{Schema: &huma.Schema{Type: huma.TypeString}, Description: "The page that poses a challenge."}
	if op.OperationID == "forward-auth-nginx" {
		op.Responses["401"].Headers = map[string]*huma.Param{"Location": location}
	} else {
		for _, status := range []int{http.StatusFound, http.StatusSeeOther} {
			op.Responses[strconv.Itoa(status)] = &huma.Response{
				Description: "To the page that poses a challenge", Headers: map[string]*huma.Param{"Location": location},
			}
		}
	}
	for _, r := range op.Responses {
		if r.Headers == nil {
			r.Headers = map[string]*huma.Param{}
		}
		for name, doc := range map[string]string{
			"X-Warder-Action": "The action of the decision.", "X-Warder-Reason": "Its reason.",
			"X-Warder-Reference": "The reference of a refusal.", "X-Warder-Degraded": "1 where Warder itself failed, and refused for that.",
		} {
			r.Headers[name] = &huma.Param{Schema: &huma.Schema{Type: huma.TypeString}, Description: doc}
		}
	}
}

func refTo(schemas map[string]*huma.Schema, name string) *huma.Schema {
	if schemas[name] == nil {
		panic("api: the document has no schema " + name)
	}
	return &huma.Schema{Ref: "#/components/schemas/" + name}
}

// failures lists the statuses with which a management call may be refused; the
// document of each is a Problem. "default" stands for those of every call: 429,
// 500 and 503.
func failures(op *huma.Operation, problem *huma.Schema) {
	var statuses []int
	if len(op.Security) > 0 {
		statuses = append(statuses, http.StatusUnauthorized, http.StatusForbidden)
	}
	if strings.Contains(op.Path, "{") {
		statuses = append(statuses, http.StatusNotFound)
	}
	if op.RequestBody != nil {
		statuses = append(statuses, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if op.RequestBody != nil || len(op.Parameters) > 0 {
		statuses = append(statuses, http.StatusUnprocessableEntity)
	}
	for _, p := range op.Parameters {
		switch p.Name {
		case "If-Match":
			statuses = append(statuses, http.StatusPreconditionFailed)
		case "Idempotency-Key":
			statuses = append(statuses, http.StatusConflict)
		}
	}
	if slices.Contains(conflicts, op.OperationID) {
		statuses = append(statuses, http.StatusConflict)
	}
	for _, status := range statuses {
		if name := strconv.Itoa(status); op.Responses[name] == nil {
			op.Responses[name] = &huma.Response{
				Description: http.StatusText(status),
				Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: problem}},
			}
		}
	}
}

// orNull says of fields that point to a view, and are always there, that they
// may be null, unless their tag denies it.
func orNull(reg huma.Registry, name string, schema *huma.Schema) {
	t := reg.TypeFromRef("#/components/schemas/" + name)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return
	}
	for _, f := range reflect.VisibleFields(t) {
		field, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		p := schema.Properties[field]
		if f.Type.Kind() != reflect.Pointer || strings.Contains(options, "omit") || f.Tag.Get("nullable") == "false" || p == nil || p.Ref == "" {
			continue
		}
		schema.Properties[field] = &huma.Schema{
			AnyOf:       []*huma.Schema{{Ref: p.Ref}, {Type: "null"}},
			Description: f.Tag.Get("doc"),
		}
	}
}

package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// Bounds of a document as text. MaxDepth leaves room for what a policy needs
// (tests, their events, and objects in those) and no more.
const (
	MaxBytes = 1 << 20
	MaxDepth = 16
)

type kind uint8

const (
	null kind = iota
	boolean
	number
	text
	list
	object
)

var kindNames = [...]string{null: "null", boolean: "true or false", number: "a number", text: "a text", list: "a list", object: "an object"}

// node is one value of a document, whichever of the two syntaxes it came in:
// everything behind this file is written once.
type node struct {
	kind  kind
	value string // of a scalar, as written
	line  int
	keys  []*node // of an object: names, as texts
	items []*node // of a list or an object
}

// errDepth refuses nesting that no policy has.
var errDepth = fmt.Errorf("must not be nested more than %d levels deep", MaxDepth)

// parseTree reads a document in either syntax. What starts with a brace and is
// JSON is read as JSON, everything else as YAML. The error is for people and
// names the line.
func parseTree(data []byte) (*node, error) {
	switch {
	case len(data) > MaxBytes:
		return nil, fmt.Errorf("must be at most %d bytes, is %d", MaxBytes, len(data))
	case !utf8.Valid(data):
		return nil, errors.New("must be valid UTF-8")
	}
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		n, err := parseJSON(data)
		if err == nil || errors.Is(err, errDepth) {
			return n, err
		}
		if n, yamlErr := parseYAML(data); yamlErr == nil {
			return n, nil // a flow mapping: {mode: observe}
		}
		return nil, err
	}
	return parseYAML(data)
}

func parseJSON(data []byte) (*node, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	r := jsonReader{dec: dec, data: data, line: 1}
	n, err := r.value(0)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("line %d: %w", r.line, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: something follows the document", r.line)
	}
	return n, nil
}

// jsonReader builds the tree token by token, because unmarshalling would drop
// duplicate names and the lines that faults are reported with.
type jsonReader struct {
	dec  *json.Decoder
	data []byte
	at   int // offset that line belongs to
	line int
}

func (r *jsonReader) token() (json.Token, error) {
	t, err := r.dec.Token()
	offset := int(r.dec.InputOffset())
	r.line += bytes.Count(r.data[r.at:offset], []byte{'\n'})
	r.at = offset
	return t, err
}

func (r *jsonReader) value(depth int) (*node, error) {
	t, err := r.token()
	if err != nil {
		return nil, err
	}
	n := &node{line: r.line}
	switch t := t.(type) {
	case nil:
	case bool:
		n.kind, n.value = boolean, fmt.Sprint(t)
	case json.Number:
		n.kind, n.value = number, t.String()
	case string:
		n.kind, n.value = text, t
	case json.Delim:
		if depth >= MaxDepth {
			return nil, errDepth
		}
		n.kind = list
		if t == '{' {
			n.kind = object
		}
		for r.dec.More() {
			if n.kind == object {
				key, err := r.token()
				if err != nil {
					return nil, err
				}
				name, _ := key.(string)
				n.keys = append(n.keys, &node{kind: text, value: name, line: r.line})
			}
			item, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
		if _, err := r.token(); err != nil { // the closing delimiter
			return nil, err
		}
	}
	return n, nil
}

func parseYAML(data []byte) (n *node, err error) {
	// The library reports its own faults by panics and recovers those it
	// expects. A document that finds another one must not end the process.
	defer func() {
		if r := recover(); r != nil {
			n, err = nil, errors.New("cannot be read as YAML")
		}
	}()
	// Deep nesting is refused while scanning, before anything recurses into it.
	limits := loaderlimits.New(loaderlimits.DepthValue(4 * MaxDepth))
	dec, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithPlugin(limits))
	if err != nil {
		return nil, fmt.Errorf("read YAML: %w", err)
	}
	var doc yaml.Node
	if err := dec.Load(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("is empty")
		}
		return nil, errors.New(clean(err.Error()))
	}
	var next yaml.Node
	if err := dec.Load(&next); !errors.Is(err, io.EOF) {
		return nil, errors.New("must be a single YAML document")
	}
	root := &doc
	if root.Kind == yaml.DocumentNode {
		if len(root.Content) != 1 {
			return nil, errors.New("is empty")
		}
		root = root.Content[0]
	}
	return fromYAML(root, 0)
}

func fromYAML(y *yaml.Node, depth int) (*node, error) {
	n := &node{line: y.Line}
	if y.Anchor != "" || y.Kind == yaml.AliasNode {
		return nil, fmt.Errorf("line %d: anchors and aliases are not accepted, write the value out", y.Line)
	}
	switch y.Kind {
	case yaml.ScalarNode:
		n.value = y.Value
		switch tag := y.ShortTag(); tag {
		case "!!null":
			n.kind = null
		case "!!bool":
			n.kind = boolean
		case "!!int", "!!float":
			n.kind = number
		case "!!str", "!!timestamp":
			n.kind = text
		case "!!merge":
			n.kind = text // an unknown name like any other
		default:
			return nil, fmt.Errorf("line %d: the tag %s is not accepted", y.Line, clean(tag))
		}
		if y.Style&yaml.TaggedStyle != 0 {
			return nil, fmt.Errorf("line %d: tags are not accepted", y.Line)
		}
		return n, nil
	case yaml.SequenceNode, yaml.MappingNode:
	default:
		return nil, fmt.Errorf("line %d: cannot be read as YAML", y.Line)
	}
	if depth >= MaxDepth {
		return nil, errDepth
	}
	if y.Style&yaml.TaggedStyle != 0 {
		return nil, fmt.Errorf("line %d: tags are not accepted", y.Line)
	}
	n.kind = list
	step := 1
	if y.Kind == yaml.MappingNode {
		n.kind, step = object, 2
	}
	for i := 0; i+step <= len(y.Content); i += step {
		if step == 2 {
			key, err := fromYAML(y.Content[i], depth+1)
			if err != nil {
				return nil, err
			}
			if key.kind == list || key.kind == object {
				return nil, fmt.Errorf("line %d: a name must be a text", key.line)
			}
			n.keys = append(n.keys, key)
		}
		item, err := fromYAML(y.Content[i+step-1], depth+1)
		if err != nil {
			return nil, err
		}
		n.items = append(n.items, item)
	}
	return n, nil
}

// clean makes a text fit for a one-line message: bounded, no control
// characters.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "..."
	}
	return s
}

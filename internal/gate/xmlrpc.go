package gate

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// formatRPC is the format of bodies that are calls of XML-RPC.
const formatRPC = "xmlrpc"

// Bounds of a call: its elements, and how deep they lie in each other.
const (
	maxElements = 30_000
	maxNesting  = 64
)

// rpcFields reads a call of XML-RPC: methodName, and params.0 and so on for
// those parameters that are a text. What is written in any other way than the
// specification's is a fault, since implementations read it differently: some
// take every value that they come across for a parameter.
func rpcFields(body []byte) (fields, error) {
	out, err := readRPC(body)
	if err != nil {
		return nil, &statusError{400, "The body is no call of XML-RPC in UTF-8."}
	}
	return out, nil
}

// rpcReader walks through a call.
type rpcReader struct {
	dec      *xml.Decoder
	elements int
	out      fields
	params   int
}

func readRPC(body []byte) (fields, error) {
	r := rpcReader{dec: xml.NewDecoder(bytes.NewReader(body)), out: fields{}}
	root, text, err := r.open()
	if err != nil || root != "methodCall" || text != "" {
		return nil, errors.New("no methodCall")
	}
	if err := r.children(1, func(name string, depth int) error {
		switch {
		case name == "methodName" && len(r.out["methodName"]) == 0:
			text, err := r.text()
			r.out["methodName"] = []string{strings.TrimSpace(text)}
			return err
		case name == "params":
			return r.children(depth, func(name string, depth int) error {
				if name != "param" {
					return fmt.Errorf("%s in params", name)
				}
				return r.param(depth)
			})
		}
		return fmt.Errorf("%s in methodCall", name)
	}); err != nil {
		return nil, err
	}
	if len(r.out["methodName"]) == 0 {
		return nil, errors.New("no methodName")
	}
	if name, text, err := r.open(); !errors.Is(err, io.EOF) || name != "" || text != "" {
		return nil, errors.New("more than one methodCall")
	}
	return r.out, nil
}

// param reads one parameter: one value, which is a text, a type, or nothing.
func (r *rpcReader) param(depth int) error {
	values := 0
	return r.children(depth, func(name string, depth int) error {
		if values++; name != "value" || values > 1 {
			return fmt.Errorf("%s in param", name)
		}
		at := fmt.Sprintf("params.%d", r.params)
		r.params++
		kind, text, err := r.open()
		switch {
		case err != nil:
			return err
		case kind == "": // a text without a type
			r.out[at] = []string{text}
			return nil
		case text != "":
			return errors.New("a text beside a type")
		}
		if err := r.typed(at, kind, depth+1); err != nil {
			return err
		}
		if kind, text, err = r.open(); err != nil || kind != "" || strings.TrimSpace(text) != "" {
			return errors.New("more than one type")
		}
		return nil
	})
}

// typed reads a value of a type; only texts are kept.
func (r *rpcReader) typed(at, kind string, depth int) error {
	switch kind {
	case "array", "struct":
		return r.skip(depth)
	case "string", "base64", "int", "i4", "i8", "double", "boolean", "dateTime.iso8601", "nil":
	default:
		return fmt.Errorf("type %s", kind)
	}
	text, err := r.text()
	if err != nil {
		return err
	}
	switch kind {
	case "string":
		r.out[at] = []string{strings.Trim(text, " \t\n\r\x00\v")}
	case "base64":
		if b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err == nil {
			r.out[at] = []string{string(b)}
		}
	}
	return nil
}

// skip reads what is inside of an array or a struct without looking at it.
func (r *rpcReader) skip(depth int) error {
	for {
		tok, err := r.token()
		if err != nil {
			return err
		}
		switch tok.(type) {
		case xml.StartElement:
			if depth++; depth > maxNesting {
				return errors.New("too deep")
			}
			if err := r.skip(depth); err != nil {
				return err
			}
			depth--
		case xml.EndElement:
			return nil
		}
	}
}

// children calls f for every element inside of the one that was opened last.
// Texts between them are faults.
func (r *rpcReader) children(depth int, f func(name string, depth int) error) error {
	for {
		name, text, err := r.open()
		switch {
		case err != nil:
			return err
		case text != "" && strings.TrimSpace(text) != "":
			return errors.New("a text between elements")
		case name == "":
			return nil
		}
		if err := f(name, depth+1); err != nil {
			return err
		}
	}
}

// text reads the text of an element that holds nothing else, and its end.
func (r *rpcReader) text() (string, error) {
	name, text, err := r.open()
	if err == nil && name != "" {
		err = fmt.Errorf("%s in a text", name)
	}
	return text, err
}

// open reads up to the next beginning of an element, or with an empty name the
// end of one, and returns the text before it. A text of spaces only before a
// beginning is none.
func (r *rpcReader) open() (name, text string, err error) {
	var b strings.Builder
	for {
		tok, err := r.token()
		if err != nil {
			return "", strings.TrimSpace(b.String()), err
		}
		switch t := tok.(type) {
		case xml.CharData:
			b.Write(t)
		case xml.StartElement:
			text := b.String()
			if strings.TrimSpace(text) == "" {
				text = ""
			}
			return t.Name.Local, text, nil
		case xml.EndElement:
			return "", b.String(), nil
		}
	}
}

func (r *rpcReader) token() (xml.Token, error) {
	tok, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := tok.(type) {
	case xml.StartElement:
		if r.elements++; r.elements > maxElements || t.Name.Space != "" || len(t.Attr) > 0 {
			return nil, errors.New("too many elements, or one with attributes")
		}
	case xml.Directive:
		return nil, errors.New("a document type")
	}
	return tok, nil
}

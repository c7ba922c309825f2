package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/warderhq/warder"
)

// MaxFile bounds a configuration file and a secret's file, in bytes.
const MaxFile = 1 << 20

// Load reads the configuration of a process. A value on the command line
// (flags, by the setting's name, such as "listen") is stronger than one in the
// environment (env, as os.Environ gives it), which is stronger than one in the
// file at path, which is stronger than the default. An empty path means that
// there is no file. What is wrong with the values is returned as warder.Faults,
// all of it, located by the setting's name and line in the file, by the
// variable, or by the flag.
func Load(path string, env []string, flags map[string]string) (*Config, error) {
	var file []byte
	if path != "" {
		var err error
		if file, err = readFile(path); err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
	}
	l := loader{config: Default(), origin: map[string]string{}}
	l.file(file)
	l.environment(env)
	l.flags(flags)
	l.check()
	if err := l.faults.Err(); err != nil {
		return nil, err
	}
	l.config.Set = slices.Sorted(maps.Keys(l.origin))
	return l.config, nil
}

// Env is the name of the environment variable of a setting: smtp.host is set by
// WARDER_SMTP_HOST.
func Env(setting string) string {
	return "WARDER_" + strings.ToUpper(strings.ReplaceAll(setting, ".", "_"))
}

// loader gathers a configuration and everything that is wrong with it.
type loader struct {
	config *Config
	faults warder.Faults
	origin map[string]string // setting -> where its value came from
}

// assign gives setting s the values read at location.
func (l *loader) assign(s setting, location string, values []string) {
	l.origin[s.name] = location
	if err := s.set(l.config, values); err != nil {
		l.faults.Add(location, "%s", err)
	}
}

// secretFrom gives setting s the content of a file, without the line end that
// editors leave.
func (l *loader) secretFrom(s setting, location, path string) {
	if path == "" {
		l.assign(s, location, []string{""})
		return
	}
	content, err := readFile(path)
	if err != nil {
		l.faults.Add(location, "%s", err)
		return
	}
	l.assign(s, location, []string{strings.TrimRight(string(content), "\r\n")})
}

func (l *loader) environment(env []string) {
	vars := map[string]string{}
	for _, kv := range env {
		if name, value, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(name, "WARDER_") {
			vars[name] = value
		}
	}
	delete(vars, "WARDER_CONFIG") // names the file; the command reads it
	for _, s := range settings {
		name := Env(s.name)
		value, ok := vars[name]
		path, fromFile := vars[name+"_FILE"]
		if s.secret && fromFile {
			if ok {
				l.faults.Add(name, "must not be set together with %s_FILE", name)
			} else {
				l.secretFrom(s, name+"_FILE", path)
			}
			delete(vars, name+"_FILE")
		} else if ok {
			l.assign(s, name, split(s, value))
		}
		delete(vars, name)
	}
	for name := range vars {
		l.config.Ignored = append(l.config.Ignored, name)
	}
	slices.Sort(l.config.Ignored)
}

func (l *loader) flags(flags map[string]string) {
	for _, s := range settings {
		if value, ok := flags[s.name]; ok {
			l.assign(s, "--"+s.name, split(s, value))
		}
	}
}

// split makes the values of a setting out of one line of text: lists are
// separated by commas.
func split(s setting, value string) []string {
	if s.kind != list {
		return []string{value}
	}
	var values []string
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			values = append(values, part)
		}
	}
	return values
}

// file reads a configuration file: one YAML mapping of settings and sections.
func (l *loader) file(data []byte) {
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		l.faults.Add("file", "%s", err)
		return
	}
	var doc, second yaml.Node
	if err := loader.Load(&doc); errors.Is(err, io.EOF) {
		return // an empty file sets nothing
	} else if err != nil {
		l.faults.Add("file", "must be YAML: %s", oneLine(err))
		return
	}
	if err := loader.Load(&second); !errors.Is(err, io.EOF) {
		l.faults.Add("file", "must hold one YAML document")
		return
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return
	}
	root := doc.Content[0]
	if isNull(root) {
		return
	}
	if root.Kind != yaml.MappingNode {
		l.faults.Add("file", "must be a mapping of settings, such as `listen: 127.0.0.1:8420`")
		return
	}
	l.section("", root)
}

// section reads the settings of one mapping, whose names begin with prefix.
func (l *loader) section(prefix string, node *yaml.Node) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		location := at(prefix+clip(key.Value), key)
		name := prefix + key.Value
		switch {
		case key.Kind != yaml.ScalarNode:
			l.faults.Add(at(strings.TrimSuffix(prefix, "."), key), "has a name that is not a text")
		case seen[key.Value]:
			l.faults.Add(location, "is given twice")
		default:
			seen[key.Value] = true
			l.entry(name, location, value, seen, prefix)
		}
	}
}

func (l *loader) entry(name, location string, value *yaml.Node, seen map[string]bool, prefix string) {
	if slices.Contains(sections, name) {
		if value.Kind == yaml.MappingNode {
			l.section(name+".", value)
		} else if !isNull(value) {
			l.faults.Add(location, "must be a mapping")
		}
		return
	}
	if name == "sites" {
		l.sites(location, value)
		return
	}
	if s, ok := find(name); ok {
		if s.secret && seen[strings.TrimPrefix(s.name, prefix)+"_file"] {
			l.faults.Add(location, "must not be given together with %s_file", s.name)
			return
		}
		if values, ok := l.values(s, location, value); ok {
			l.assign(s, location, values)
		}
		return
	}
	if s, ok := find(strings.TrimSuffix(name, "_file")); ok && s.secret && strings.HasSuffix(name, "_file") {
		if seen[strings.TrimPrefix(s.name, prefix)] {
			l.faults.Add(location, "must not be given together with %s", s.name)
			return
		}
		if values, ok := l.values(setting{name: name}, location, value); ok {
			l.secretFrom(s, location, values[0])
		}
		return
	}
	l.faults.Add(location, "is not a setting%s", suggest(name))
}

// values reads what stands beside a name; false means that nothing is set,
// either because nothing stands there or because it is of the wrong type.
func (l *loader) values(s setting, location string, node *yaml.Node) ([]string, bool) {
	if isNull(node) {
		return nil, false
	}
	if s.kind == list {
		if node.Kind != yaml.SequenceNode {
			l.faults.Add(location, "must be a list, such as [a, b]")
			return nil, false
		}
		values := make([]string, 0, len(node.Content))
		for i, item := range node.Content {
			if item.Kind != yaml.ScalarNode || isNull(item) {
				l.faults.Add(at(fmt.Sprintf("%s[%d]", s.name, i), item), "must be a text")
				return nil, false
			}
			values = append(values, item.Value)
		}
		return values, true
	}
	if node.Kind != yaml.ScalarNode {
		l.faults.Add(location, "must be %s", s.kind)
		return nil, false
	}
	tag := node.ShortTag()
	if s.kind == number && tag != "!!int" || s.kind == boolean && tag != "!!bool" {
		l.faults.Add(location, "must be %s", s.kind)
		return nil, false
	}
	return []string{node.Value}, true
}

func at(name string, node *yaml.Node) string {
	return fmt.Sprintf("%s (line %d)", name, node.Line)
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}

func oneLine(err error) string { return clip(strings.Join(strings.Fields(err.Error()), " ")) }

func clip(s string) string {
	if len(s) <= 200 {
		return s
	}
	return strings.ToValidUTF8(s[:200], "") + "..."
}

// suggest names the setting that an unknown name was probably meant to be.
func suggest(name string) string {
	best, least := "", 3
	for _, s := range settings {
		if d := distance(name, s.name, least); d < least {
			best, least = s.name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %s?", best)
}

// distance is the number of edits between two names, or limit if it is not
// smaller.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return min(row[len(b)], limit)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, MaxFile)
	}
	return data, nil
}

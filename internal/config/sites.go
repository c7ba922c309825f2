package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Site is one application behind the gate.
type Site struct {
	Name           string // default: the host of Upstream
	Listen         string
	TLS            TLS
	Upstream       string // URL of the application
	Profile        string // the name of a shipped one, or a file
	SessionCookies []string
	Origins        []string // other origins that may send sign-ins
	// Where sign-ins lead to: see gate.SiteOptions.
	Succeeded, Failed []string
	FailOpen          bool
	Timeout           time.Duration
	Brand, Contact    string // on the access-denied page
}

// maxSites bounds the list of sites.
const maxSites = 64

// siteSetting is one value of a site.
type siteSetting struct {
	name string
	kind kind
	set  func(s *Site, v []string) error
}

var siteSettings = []siteSetting{
	{"name", text, func(s *Site, v []string) error {
		s.Name = v[0]
		if !isToken(strings.NewReplacer(".", "-", ":", "-").Replace(v[0])) {
			return errors.New("must be letters, digits, dots, hyphens and underscores, at most 64")
		}
		return nil
	}},
	{"listen", text, func(s *Site, v []string) error { s.Listen = v[0]; return checkListen(v[0]) }},
	{"tls.cert", text, func(s *Site, v []string) error { s.TLS.Cert = v[0]; return nil }},
	{"tls.key", text, func(s *Site, v []string) error { s.TLS.Key = v[0]; return nil }},
	{"upstream", text, func(s *Site, v []string) (err error) {
		if v[0] == "" {
			return errors.New("is required, such as http://127.0.0.1:3000")
		}
		s.Upstream, err = parseURL(v[0])
		return err
	}},
	{"profile", text, func(s *Site, v []string) error { s.Profile = v[0]; return nil }},
	{"session_cookies", list, func(s *Site, v []string) error { s.SessionCookies = v; return nil }},
	{"origins", list, func(s *Site, v []string) error {
		s.Origins = v
		return checkOrigins(v)
	}},
	{"success_location", list, func(s *Site, v []string) error { s.Succeeded = v; return checkLocations(v) }},
	{"failure_location", list, func(s *Site, v []string) error { s.Failed = v; return checkLocations(v) }},
	{"on_failure", text, func(s *Site, v []string) error {
		s.FailOpen = v[0] == "open"
		return oneOf(v[0], "closed", "open")
	}},
	{"timeout", number, func(s *Site, v []string) error {
		n, err := parseInt(v[0], 1, 3600)
		s.Timeout = time.Duration(n) * time.Second
		return err
	}},
	{"brand", text, func(s *Site, v []string) error { s.Brand = v[0]; return atMost(v[0], 200) }},
	{"contact", text, func(s *Site, v []string) error { s.Contact = v[0]; return atMost(v[0], 200) }},
}

func checkOrigins(list []string) error {
	for _, origin := range list {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("must be origins such as https://www.example.org, one is %q", clip(origin))
		}
	}
	return nil
}

func checkLocations(list []string) error {
	for _, v := range list {
		if v == "" || v[0] != '/' && v[0] != '*' || len(v) > 200 {
			return fmt.Errorf("must be paths with * for any text, such as /home* or *error=*, one is %q", clip(v))
		}
	}
	return nil
}

func atMost(s string, n int) error {
	if len(s) > n {
		return fmt.Errorf("must be at most %d bytes", n)
	}
	return nil
}

// NewSite makes a site of its settings, by name, as the command line gives
// them; lists are separated by commas. The error names the setting.
func NewSite(values map[string]string) (Site, error) {
	s := defaultSite()
	for _, set := range siteSettings {
		value, ok := values[set.name]
		if !ok {
			continue
		}
		if err := set.set(&s, split(setting{kind: set.kind}, value)); err != nil {
			return s, fmt.Errorf("%s: %w", set.name, err)
		}
	}
	return s, s.finish()
}

func defaultSite() Site { return Site{Profile: "generic-form", Timeout: time.Minute} }

// finish checks what must fit together.
func (s *Site) finish() error {
	switch {
	case s.Upstream == "":
		return errors.New("upstream: is required, such as http://127.0.0.1:3000")
	case s.Listen == "":
		return errors.New("listen: is required, such as 0.0.0.0:80")
	case (s.TLS.Cert == "") != (s.TLS.Key == ""):
		return errors.New("tls: cert and key are required together")
	}
	if s.Name == "" {
		if u, err := url.Parse(s.Upstream); err == nil {
			s.Name = u.Host
		}
	}
	return nil
}

// sites reads the list of sites of a configuration file.
func (l *loader) sites(location string, node *yaml.Node) {
	l.origin["sites"] = location
	if isNull(node) {
		return
	}
	if node.Kind != yaml.SequenceNode {
		l.faults.Add(location, "must be a list of sites")
		return
	}
	if len(node.Content) > maxSites {
		l.faults.Add(location, "must be at most %d sites", maxSites)
		return
	}
	names, listens := map[string]bool{}, map[string]bool{}
	for i, item := range node.Content {
		where := fmt.Sprintf("sites[%d]", i)
		if item.Kind != yaml.MappingNode {
			l.faults.Add(at(where, item), "must be a mapping, such as {listen: 0.0.0.0:80, upstream: http://127.0.0.1:3000}")
			continue
		}
		s, before := defaultSite(), len(l.faults)
		l.site(&s, where, "", item)
		if len(l.faults) > before {
			continue
		}
		if err := s.finish(); err != nil {
			name, message, _ := strings.Cut(err.Error(), ": ")
			l.faults.Add(at(where+"."+name, item), "%s", message)
			continue
		}
		if names[s.Name] {
			l.faults.Add(at(where+".name", item), "%s is the name of another site", s.Name)
		}
		if listens[s.Listen] && !strings.HasSuffix(s.Listen, ":0") {
			l.faults.Add(at(where+".listen", item), "%s is another site's", s.Listen)
		}
		names[s.Name], listens[s.Listen] = true, true
		l.config.Sites = append(l.config.Sites, s)
	}
}

// site reads the settings of one site whose names begin with prefix.
func (l *loader) site(s *Site, where, prefix string, node *yaml.Node) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		name := prefix + key.Value
		location := at(where+"."+clip(name), key)
		if seen[key.Value] {
			l.faults.Add(location, "is given twice")
			continue
		}
		seen[key.Value] = true
		if name == "tls" && value.Kind == yaml.MappingNode {
			l.site(s, where, "tls.", value)
			continue
		}
		known := false
		for _, set := range siteSettings {
			if set.name != name {
				continue
			}
			known = true
			if values, ok := l.values(setting{name: name, kind: set.kind}, location, value); ok {
				if err := set.set(s, values); err != nil {
					l.faults.Add(location, "%s", err)
				}
			}
		}
		if !known {
			l.faults.Add(location, "is not a setting of a site")
		}
	}
}

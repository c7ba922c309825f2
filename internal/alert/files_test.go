package alert

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func emls(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestMailsAreWrittenToFilesWithoutSMTP(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{}
		health := map[string]bool{}
		s, err := New(Options{Outbox: o, Recipients: to(), Dir: dir, OnHealth: func(reason string, bad bool) { health[reason] = bad }})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = s.Run(t.Context()) }()
		for i := range 3 { // no throttle but the hourly one: nobody is disturbed
			o.add(attack(i))
			s.Notify()
			rest(10 * time.Second)
			if n := len(emls(t, dir)); n != i+1 {
				t.Fatalf("%d files after %d alerts", n, i+1)
			}
		}
		for i := range 1000 {
			o.add(attack(i))
			rest(time.Second)
		}
		if n := len(emls(t, dir)); n > 20 {
			t.Errorf("%d files after 1000 alerts", n)
		}
		if !health[Unconfigured] || health[NoRecipient] || health[Failing] {
			t.Errorf("health: %v", health)
		}
		script, err := s.SendTest(t.Context(), olga)
		if err != nil || !strings.Contains(script, dir) {
			t.Errorf("test mail: %q %v", script, err)
		}
	})
	raw, err := os.ReadFile(emls(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	if p := parse(t, raw); !strings.Contains(p.header.Get("To"), nobodyKey) || !strings.Contains(p.text, "203.0.0.0") {
		t.Errorf("mail: %s", raw)
	}
}

func TestNewestFilesAreKept(t *testing.T) {
	f := &files{dir: t.TempDir(), keep: 10}
	s, err := New(Options{Outbox: &outbox{}, Recipients: to(), Dir: f.dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, ".mail-left"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var last string
	for i := range 25 {
		a := attack(i)
		a.Time = base.Add(time.Duration(i) * time.Second)
		d := &digest{}
		d.add(a)
		for range 2 { // the same mail again replaces itself
			m, err := s.compose(d, Recipient{Address: olga}, s.from, fmt.Sprint(i))
			if err != nil {
				t.Fatal(err)
			}
			out, err := f.open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := out.send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			out.close()
			last = m.path
		}
	}
	list := emls(t, f.dir)
	if len(list) != 10 || list[9] != last {
		t.Errorf("%d files, last %s", len(list), list[len(list)-1])
	}
	if hidden, _ := filepath.Glob(filepath.Join(f.dir, ".mail-*")); len(hidden) != 0 {
		t.Errorf("left over: %v", hidden)
	}
}

func TestFullDiskIsShownAndRetried(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := &outbox{}
	o.add(attack(1))
	s, err := New(Options{Outbox: o, Recipients: to(olga), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.round(t.Context()); err != nil || !s.failing() {
		t.Fatalf("%v, failing %t", err, s.failing())
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	s.outage.next = time.Time{}
	if _, err := s.round(t.Context()); err != nil || s.failing() || len(emls(t, dir)) != 1 {
		t.Errorf("%v, failing %t", err, s.failing())
	}
}

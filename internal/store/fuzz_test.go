package store

import (
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warderhq/warder"
)

// FuzzCursor: a cursor that is accepted is one that is handed out, and none is
// accepted by another list.
func FuzzCursor(f *testing.F) {
	f.Add(cursor{Kind: cursorEvents, A: 1, B: -1}.String())
	f.Add(cursor{Kind: cursorSessions, A: 1, S: "abc"}.String())
	f.Add("")
	f.Add("ZQ")
	f.Fuzz(func(t *testing.T, s string) {
		accepted := 0
		for _, kind := range []byte("ebdsautlnr") {
			c, err := parseCursor(kind, s)
			if err != nil {
				if !errors.Is(err, ErrBadCursor) {
					t.Fatal(err)
				}
				continue
			}
			if c == nil {
				if s != "" {
					t.Fatalf("%q is taken for no cursor", s)
				}
				return
			}
			accepted++
			if c.String() != s {
				t.Fatalf("%q was read as %q", s, c.String())
			}
		}
		if accepted > 1 {
			t.Fatalf("%q is accepted by %d lists", s, accepted)
		}
	})
}

// FuzzSearch: whatever is searched for, the query is valid, and every event
// that is found has something to do with it.
func FuzzSearch(f *testing.F) {
	d := openAt(f, filepath.Join(f.TempDir(), "warder.db"))
	j := &journal{DB: d}
	other := event(2, "2001:db8::1", "Ünïcode")
	other.Path, other.Reference = "/%_?'\"", "7K3M-22QP"
	j.commit(f, events(event(1, "192.0.2.1", "alice"), other))
	for _, s := range []string{"alice", "ali", "/lo", "192.0.2.0/24", "::/0", "e000001", "7k3m-22qp", "?", "$1", "' OR 1=1 --", "%", "ÜNÏ", "\xff", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, q string) {
		l, err := d.ListEvents(t.Context(), EventFilter{Q: q}, Page{})
		if err != nil {
			t.Fatal(err)
		}
		trimmed := strings.TrimSpace(q)
		if trimmed == "" {
			if len(l.Items) != 2 {
				t.Fatal("an empty search selects everything")
			}
			return
		}
		net, isNet := parseNet(trimmed)
		for _, e := range l.Items {
			_, name := splitKey(e.AccountKey)
			ok := e.ID == trimmed || strings.EqualFold(e.Reference, trimmed) || isNet && net.Contains(e.IP) ||
				strings.HasPrefix(e.Path, trimmed) || strings.HasPrefix(name, foldAccount(trimmed))
			if !ok {
				t.Fatalf("%q found %+v", q, e)
			}
		}
		if _, err := d.ListBlocks(t.Context(), BlockFilter{Q: q}, Page{}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.ListAccounts(t.Context(), AccountFilter{Q: q}, Page{}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Reference(t.Context(), q); err != nil && !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
	})
}

// FuzzAnchor: only what was written with the key is accepted.
func FuzzAnchor(f *testing.F) {
	f.Add("00000000000000000002 00 00\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if h, err := parseAnchor(auditKey, s); err == nil {
			t.Fatalf("%q was accepted as %+v", s, h)
		}
	})
}

// FuzzPrefixCodec: what is stored is what is read, and bytes sort as addresses
// do.
func FuzzPrefixCodec(f *testing.F) {
	f.Add([]byte{192, 0, 2, 1}, uint8(24))
	f.Add(netip.MustParseAddr("2001:db8::1").AsSlice(), uint8(64))
	f.Fuzz(func(t *testing.T, b []byte, bits uint8) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		a = warder.Canonical(a)
		if got := bytesAddr(addrBytes(a)); got != a {
			t.Fatalf("%s was read as %s", a, got)
		}
		p, err := a.Prefix(int(bits))
		if err != nil {
			return
		}
		first, last := bounds(p)
		if got := bytesPrefix(first, last); got != p {
			t.Fatalf("%s was read as %s", p, got)
		}
		inside := addrBytes(a)
		if string(first) > string(inside) || string(inside) > string(last) {
			t.Fatalf("%s does not lie in %s", a, p)
		}
		if key := warder.AddressKey(a); bytesKey(keyBytes(key)) != key {
			t.Fatalf("key of %s", a)
		}
	})
}

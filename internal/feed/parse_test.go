package feed

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func format(l *List) []byte {
	var b bytes.Buffer
	for e := range l.All {
		fmt.Fprintf(&b, "%s\t%d\n", e.Prefix, e.Level)
	}
	return b.Bytes()
}

func TestParseIPsum(t *testing.T) {
	p, err := Parse([]byte("# IPsum Threat Intelligence Feed\r\n#\r\n# Last update: Sat, 22 Aug 2026 03:00:29 +0200\r\n"+
		"77.90.185.20\t10\r\n2.57.122.53\t9\r\n\r\n2.57.122.53\t3\r\n45.154.244.0/24 ; SBL1\n2a00:1::1\n2a00:2::/32\t2\n::ffff:5.6.7.8\t4\n64:ff9b::506:709\t4"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.List.Len() != 7 || p.Rejected != 0 || p.Lines != 8 {
		t.Errorf("%d entries, %d rejected, %d lines: %s", p.List.Len(), p.Rejected, p.Lines, format(p.List))
	}
	if want := time.Date(2026, 8, 22, 1, 0, 29, 0, time.UTC); !p.Upstream.Equal(want) {
		t.Errorf("date %s, want %s", p.Upstream, want)
	}
	for addr, want := range map[string]int{
		"77.90.185.20": 10, "2.57.122.53": 9, "45.154.244.7": 1, "2a00:1::ffff": 1, "2a00:2:ffff::": 2,
		"5.6.7.8": 4, "5.6.7.9": 4, "77.90.185.21": 0, "2a00:1:0:1::1": 0,
	} {
		if level, _ := p.List.Lookup(netip.MustParseAddr(addr)); level != want {
			t.Errorf("%s has level %d, want %d", addr, level, want)
		}
	}
}

func TestTwentyPoisonedLines(t *testing.T) {
	lines := []struct{ line, why string }{
		{"0.0.0.0/0", whyWide},
		{"0.0.0.0/8", whyWide},
		{"64.0.0.0/7", whyWide},
		{"10.0.0.1\t10", whyNotPublic},
		{"127.0.0.1", whyNotPublic},
		{"192.168.0.0/16", whyNotPublic},
		{"172.16.5.5", whyNotPublic},
		{"169.254.169.254", whyNotPublic},
		{"100.64.0.1", whyNotPublic},
		{"224.0.0.0/8", whyWide},
		{"255.255.255.255", whyNotPublic},
		{"::/0", whyWide},
		{"2000::/18", whyWide},
		{"fe80::1", whyNotPublic},
		{"::1", whyNotPublic},
		{"176.221.42.3254.174.140.223", whyNoAddress},
		{"5.6.7.8 5.6.7.9", whyForm},
		{"5.6.7.8\t0", whyLevel},
		{"5.6.7.8\t-1", whyLevel},
		{"5.6.7.8\t99999", whyLevel},
		{"5.6.7.8\t1\t2", whyLevel},
		{"5.6.7.8/24", whyHostBits},
		{"5.6.7.8/33", whyNoAddress},
		{"05.6.7.8", whyNoAddress},
		{"0x5.6.7.8", whyNoAddress},
		{"84281096", whyNoAddress},
		{"fe80::1%eth0", whyNoAddress},
		{"evil.example", whyNoAddress},
		{"<script>", whyNoAddress},
		{"198.51.100.9", whyNever},
		{"198.51.0.0/16", whyNever},
		{strings.Repeat("1", 300), whyLong},
		{"::/80", whyNotPublic},
	}
	var body strings.Builder
	for i := range 40 {
		fmt.Fprintf(&body, "5.6.%d.1\t3\n", i)
	}
	want := []Reject{}
	for i, l := range lines {
		fmt.Fprintln(&body, l.line)
		want = append(want, Reject{41 + i, l.why})
	}
	trusted := netip.MustParsePrefix("198.51.100.0/24")
	p, err := Parse([]byte(body.String()), trusted.Overlaps)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, p.Rejects); diff != "" {
		t.Error(diff)
	}
	if p.List.Len() != 40 || p.Rejected != len(lines) {
		t.Errorf("%d entries, %d rejected", p.List.Len(), p.Rejected)
	}
}

func TestRejectsAreBoundedAndCountedExactly(t *testing.T) {
	body := strings.Repeat("5.6.7.8\n", 5000) + strings.Repeat("nonsense\n", 4000)
	p, err := Parse([]byte(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Rejects) != maxRejects || p.Rejected != 4000 || p.Reasons[whyNoAddress] != 4000 || p.List.Len() != 1 {
		t.Errorf("%d listed, %d counted, %v, %d entries", len(p.Rejects), p.Rejected, p.Reasons, p.List.Len())
	}
}

func TestWholeListRefused(t *testing.T) {
	wide := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%d.%d.0.0/16\n", 20+i/256, i%256)
		}
		return b.String()
	}
	for name, body := range map[string]string{
		"empty":       "",
		"blank":       "\n \n",
		"comments":    "# nothing\n# here\n",
		"page":        "\n <!DOCTYPE html><html>\n5.6.7.8\n",
		"page, mark":  "\xef\xbb\xbf<html>",
		"json":        `{"error":"gone"}`,
		"array":       `["5.6.7.8"]`,
		"binary":      "5.6.7.8\n\x00\x01",
		"gzip":        "\x1f\x8b\x08",
		"mostly junk": "5.6.7.8\nx\ny\n",
		"canary":      "5.6.7.8\n1.1.1.1\n",
		"canary net":  "5.6.7.8\n8.8.0.0/16\t3\n",
		"canary v6":   "2606:4700:4700::/48\n",
		"too much":    wide(400),
	} {
		if p, err := Parse([]byte(body), nil); !errors.Is(err, ErrNotAList) || p.List != nil {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
	if _, err := Parse([]byte(wide(100)), nil); err != nil {
		t.Errorf("a hundred /16: %v", err)
	}
}

func TestRejectsShowNothingOfTheLine(t *testing.T) {
	p, _ := Parse([]byte("root:$6$secret:19000:0:::\nhunter2\n5.6.7.8\n5.6.7.9\n"), nil)
	if s := fmt.Sprint(p.Rejects, p.Reasons); strings.Contains(s, "secret") || strings.Contains(s, "hunter2") {
		t.Error(s)
	}
}

func TestLoads120000EntriesWithinASecond(t *testing.T) {
	body := format(newList(manyEntries(120_430)))
	took := time.Hour
	for range 3 { // the best of three, as the machine may be busy
		start := time.Now()
		p, err := Parse(body, func(netip.Prefix) bool { return false })
		if err != nil {
			t.Fatal(err)
		}
		took = min(took, time.Since(start))
		t.Logf("%d entries in %s", p.List.Len(), took)
	}
	if took > slowdown*time.Second {
		t.Errorf("took %s", took)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"# c\n1.2.3.4\t5\r\n5.6.0.0/16\n2a00::1\n", "1.2.3.4", "5.0.0.0/8\t3\n5.1.0.0/16\t9\n5.1.1.1\t2", "<html>", "::ffff:1.2.3.4/120\n",
		"# Last update: Sat, 22 Aug 2026 03:00:29 +0200\n9.9.9.8\t1", "64:ff9b::1.2.3.4\n", "2001:db8::/32 ; x", "1.2.3.4\t65536",
	} {
		f.Add([]byte(s))
	}
	never := netip.MustParsePrefix("5.6.0.0/16")
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := Parse(body, never.Overlaps)
		sum := 0
		for _, n := range p.Reasons {
			sum += n
		}
		if sum != p.Rejected || p.Rejected > p.Lines || len(p.Rejects) > maxRejects || len(p.Rejects) > p.Rejected {
			t.Fatalf("counts disagree: %+v", p)
		}
		if err != nil {
			if p.List != nil || !errors.Is(err, ErrNotAList) {
				t.Fatalf("error %v with list %v", err, p.List)
			}
			return
		}
		if p.List.Len() == 0 || p.List.Len() > p.Lines-p.Rejected {
			t.Fatalf("%d entries of %d lines, %d rejected", p.List.Len(), p.Lines, p.Rejected)
		}
		for e := range p.List.All {
			a := e.Prefix.Addr()
			if e.Prefix != e.Prefix.Masked() || a.Is4In6() || a.Zone() != "" || e.Level == 0 || never.Overlaps(e.Prefix) || listable(e.Prefix) != "" {
				t.Fatalf("bad entry %v", e)
			}
			for _, in := range []netip.Addr{a, lastAddr(e.Prefix)} {
				if level, ok := p.List.Lookup(in); !ok || level < int(e.Level) {
					t.Fatalf("%s of %v has level %d %t", in, e, level, ok)
				}
			}
		}
		for _, c := range append(canaries, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("5.6.7.8")) {
			if _, ok := p.List.Lookup(c); ok {
				t.Fatalf("%s is listed", c)
			}
		}
		again, err := Parse(format(p.List), never.Overlaps)
		if err != nil || again.Rejected != 0 || !bytes.Equal(format(again.List), format(p.List)) {
			t.Fatalf("does not survive being written and read: %v", err)
		}
	})
}

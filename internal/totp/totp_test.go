package totp

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestVectors are those of RFC 6238, appendix B, in six digits.
func TestVectors(t *testing.T) {
	secret := []byte("12345678901234567890")
	for at, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		now := time.Unix(at, 0)
		if got, err := Code(secret, Step(now)); err != nil || got != want {
			t.Errorf("code at %d is %s, %v; want %s", at, got, err, want)
		}
		if step, err := Check(secret, want, now, 0); err != nil || step != Step(now) {
			t.Errorf("check at %d: step %d, %v", at, step, err)
		}
	}
}

// TestCodeWorksOnce: a step that was used, and every one before it, is over.
func TestCodeWorksOnce(t *testing.T) {
	secret, now := NewSecret(), time.Date(2026, 3, 1, 12, 0, 10, 0, time.UTC)
	code, err := Code(secret, Step(now))
	if err != nil {
		t.Fatal(err)
	}
	last := int64(0)
	for _, shift := range []time.Duration{-Period, 0, Period} {
		if step, err := Check(secret, code, now.Add(shift), 0); err != nil || step != Step(now) {
			t.Errorf("shifted by %s: %d, %v", shift, step, err)
		} else {
			last = step
		}
	}
	for _, shift := range []time.Duration{-2 * Period, 2 * Period} {
		if _, err := Check(secret, code, now.Add(shift), 0); !errors.Is(err, ErrWrong) {
			t.Errorf("shifted by %s: %v, want ErrWrong", shift, err)
		}
	}
	if _, err := Check(secret, code, now, last); !errors.Is(err, ErrWrong) {
		t.Errorf("used again: %v, want ErrWrong", err)
	}
	before, _ := Code(secret, Step(now)-1)
	if _, err := Check(secret, before, now, last); !errors.Is(err, ErrWrong) {
		t.Errorf("an older code after a newer one: %v, want ErrWrong", err)
	}
	after, _ := Code(secret, Step(now)+1)
	if step, err := Check(secret, after, now, last); err != nil || step != last+1 {
		t.Errorf("the next code: %d, %v", step, err)
	}
}

// TestOnlySixDigitsAreACode: no white space, no other digits, no signs.
func TestOnlySixDigitsAreACode(t *testing.T) {
	secret, now := NewSecret(), time.Now()
	code, _ := Code(secret, Step(now))
	for _, bad := range []string{
		"", " " + code, code + " ", code + "\n", code[:5], code + "0", "-" + code[1:], "+" + code[1:], "0x" + code[:4],
		"１２３４５６", strings.Repeat("0", 1<<20), code[:3] + " " + code[3:],
	} {
		if _, err := Check(secret, bad, now, 0); !errors.Is(err, ErrWrong) {
			t.Errorf("%.20q: %v, want ErrWrong", bad, err)
		}
	}
}

func TestURIAndQR(t *testing.T) {
	secret := []byte("12345678901234567890")
	uri := URI("Warder", "ann+x@example.org", secret)
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/Warder:ann+x@example.org" || u.Query().Get("secret") != "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" {
		t.Errorf("%s: %v", uri, err)
	}
	rows, err := QR(uri)
	if err != nil || len(rows) < 21 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows {
		if len(row) != len(rows) || strings.Trim(row, "01") != "" {
			t.Errorf("row %q", row)
		}
	}
	// The finder pattern in the corner begins with seven dark modules.
	if !strings.HasPrefix(rows[0], "11111110") || !strings.HasPrefix(rows[1], "10000010") {
		t.Errorf("no finder pattern: %s, %s", rows[0], rows[1])
	}
}

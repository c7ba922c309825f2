package guard

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// digest is a short name for a text that strangers choose; nobody can make two
// texts with one name.
type digest [16]byte

func digestOf(parts ...string) digest {
	h := sha256.New()
	var n [4]byte
	for _, p := range parts {
		binary.BigEndian.PutUint32(n[:], uint32(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return digest(h.Sum(nil)[:16])
}

// aging is a map from digests to instants that is capped: when it is full, the
// oldest of a few entries picked by chance makes room. A forgotten entry is
// simply unknown.
type aging struct {
	mu  sync.RWMutex // guards m
	m   map[digest]int64
	max int
	n   atomic.Int64
}

// agingBytes is what one entry of an aging table costs, measured.
const agingBytes = 48

func newAging(maxEntries int) *aging {
	return &aging{m: make(map[digest]int64), max: max(1, maxEntries)}
}

// put remembers an instant unless a later one is known.
func (t *aging) put(key digest, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := at.UnixNano()
	if old, ok := t.m[key]; ok {
		t.m[key] = max(old, v)
		return
	}
	if len(t.m) >= t.max {
		t.evict()
	}
	t.m[key] = v
	t.n.Store(int64(len(t.m)))
}

// evict removes the oldest of eight entries. Go's map iteration begins at a
// place chosen by chance.
func (t *aging) evict() {
	var oldest digest
	at := int64(1<<63 - 1)
	seen := 0
	for k, v := range t.m {
		if v < at {
			oldest, at = k, v
		}
		if seen++; seen == 8 {
			break
		}
	}
	delete(t.m, oldest)
}

// after reports whether key was put at an instant later than limit.
func (t *aging) after(key digest, limit time.Time) bool {
	if t.n.Load() == 0 {
		return false
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	v, ok := t.m[key]
	return ok && v > limit.UnixNano()
}

// sweep forgets what is not later than limit.
func (t *aging) sweep(limit time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, v := range t.m {
		if v <= limit.UnixNano() {
			delete(t.m, k)
		}
	}
	t.n.Store(int64(len(t.m)))
}

// knownLife is how long a completed sign-in makes its source known.
const knownLife = 90 * 24 * time.Hour

// sourceOf names the source of a request: the device if the application tells
// one, else the address key.
func sourceOf(device string, address netip.Prefix) string {
	if device != "" {
		d := digestOf("device", device)
		return "d:" + idEncoding.EncodeToString(d[:])
	}
	if !address.IsValid() {
		return ""
	}
	return "a:" + address.String()
}

// sameAgent compares families. Telephones and tablets that ask for the desktop
// site call themselves Linux and macOS.
func sameAgent(a, b string) bool {
	if a == b {
		return true
	}
	browserA, systemA, _ := strings.Cut(a, "/")
	browserB, systemB, _ := strings.Cut(b, "/")
	if browserA != browserB {
		return false
	}
	pair := systemA + " " + systemB
	return pair == "Android Linux" || pair == "Linux Android" || pair == "iOS macOS" || pair == "macOS iOS"
}

// agentFamily reduces a user agent to what stays the same while a session
// lives: browser and system, without versions. "" is unknown.
func agentFamily(ua string) string {
	if ua == "" {
		return ""
	}
	system := ""
	for _, s := range []struct{ mark, name string }{
		{"iPhone", "iOS"},
		{"iPad", "iOS"},
		{"Android", "Android"},
		{"Windows", "Windows"},
		{"CrOS", "ChromeOS"},
		{"Mac OS X", "macOS"},
		{"Macintosh", "macOS"},
		{"Linux", "Linux"},
	} {
		if strings.Contains(ua, s.mark) {
			system = s.name
			break
		}
	}
	for _, b := range []struct{ mark, name string }{
		{"Edg", "Edge"},
		{"OPR/", "Opera"},
		{"SamsungBrowser", "Samsung"},
		{"YaBrowser", "Yandex"},
		{"Vivaldi", "Vivaldi"},
		{"FxiOS", "Firefox"},
		{"Firefox", "Firefox"},
		{"CriOS", "Chrome"},
		{"Chrome", "Chrome"},
		{"Safari", "Safari"},
	} {
		if strings.Contains(ua, b.mark) {
			return b.name + "/" + system
		}
	}
	// Programs: the product name up to its version.
	name, _, _ := strings.Cut(ua, "/")
	name, _, _ = strings.Cut(name, " ")
	if len(name) > 32 {
		name = name[:32]
	}
	return strings.ToValidUTF8(name, "") + "/" + system
}

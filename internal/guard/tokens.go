package guard

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"time"
)

// Life of attempts and clearances.
const (
	attemptLife   = 30 * time.Second
	attemptGrace  = 10 * time.Minute // a late settlement is taken for so long
	clearanceLife = 15 * time.Minute
	clearanceUses = 3 // attempts
)

// attemptToken is what a settlement needs to know when the memory of the
// attempt is gone: after a restart it counts as an ordinary event.
type attemptToken struct {
	ID        string     `json:"i"`
	App       string     `json:"p"`
	Expires   int64      `json:"x"` // Unix milliseconds
	IP        netip.Addr `json:"a,omitzero"`
	Account   string     `json:"u,omitempty"`
	Realm     string     `json:"r,omitempty"`
	Session   string     `json:"s,omitempty"`
	Device    string     `json:"d,omitempty"`
	UserAgent string     `json:"g,omitempty"`
	Event     string     `json:"e"`
	Method    string     `json:"m,omitempty"`
	Path      string     `json:"h,omitempty"`
}

// clearanceToken proves that a challenge was solved from an address key.
type clearanceToken struct {
	ID      string       `json:"i"`
	Expires int64        `json:"x"`
	Address netip.Prefix `json:"a"`
	Realm   string       `json:"r,omitempty"`
}

// maxToken bounds what is looked at: an attempt's token carries its texts, and
// JSON may escape every byte of them.
const maxToken = 64 << 10

var errToken = errors.New("not a token of this Warder")

// seal signs v for one purpose; a token of one purpose never passes for
// another.
func (g *Guard) seal(purpose string, v any) string {
	body, err := json.Marshal(v)
	if err != nil {
		panic("guard: token is not JSON: " + err.Error()) // only our own plain structs come here
	}
	text := base64.RawURLEncoding.EncodeToString(body)
	return text + "." + base64.RawURLEncoding.EncodeToString(g.sign(purpose, text))
}

func (g *Guard) unseal(purpose, token string, v any) error {
	text, mac, ok := strings.Cut(token, ".")
	if !ok || len(token) > maxToken {
		return errToken
	}
	// Compared as it is written: decoding passes over line breaks, and one
	// token must not have several spellings.
	if !hmac.Equal([]byte(mac), []byte(base64.RawURLEncoding.EncodeToString(g.sign(purpose, text)))) {
		return errToken
	}
	body, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || json.Unmarshal(body, v) != nil {
		return errToken
	}
	return nil
}

func (g *Guard) sign(purpose, text string) []byte {
	mac := hmac.New(sha256.New, g.secret)
	mac.Write([]byte(purpose))
	mac.Write([]byte{0})
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

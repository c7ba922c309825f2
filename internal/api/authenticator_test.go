package api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"
)

// authenticator is a passkey in software: ES256, no attestation.
type authenticator struct {
	key    *ecdsa.PrivateKey
	id     []byte
	user   []byte
	count  uint32
	site   string // what the browser shows it
	origin string
	flags  byte
}

func newAuthenticator(t *testing.T, site, origin string) *authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id)
	return &authenticator{key: key, id: id, site: site, origin: origin, flags: 0x05} // present and verified
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// options are the parts of what the server sends that a browser needs.
type options struct {
	Options struct {
		PublicKey struct {
			Challenge string `json:"challenge"`
			RPID      string `json:"rpId"`
			RP        struct {
				ID string `json:"id"`
			} `json:"rp"`
			User struct {
				ID string `json:"id"`
			} `json:"user"`
			UserVerification string `json:"userVerification"`
		} `json:"publicKey"`
	} `json:"options"`
}

func (a *authenticator) data(attested bool) []byte {
	sum := sha256.Sum256([]byte(a.site))
	flags := a.flags
	if attested {
		flags |= 0x40
	}
	a.count++
	out := append(sum[:], flags)
	out = binary.BigEndian.AppendUint32(out, a.count)
	if !attested {
		return out
	}
	out = append(out, make([]byte, 16)...)
	out = binary.BigEndian.AppendUint16(out, uint16(len(a.id)))
	out = append(out, a.id...)
	point, err := a.key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		panic(err)
	}
	out = append(out, 0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 32)
	out = append(out, point[1:33]...)
	out = append(out, 0x22, 0x58, 32)
	return append(out, point[33:65]...)
}

func (a *authenticator) client(kind, challenge string) []byte {
	text, _ := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.origin, "crossOrigin": false})
	return text
}

// create answers navigator.credentials.create.
func (a *authenticator) create(t *testing.T, o *options) map[string]any {
	t.Helper()
	user, err := base64.RawURLEncoding.DecodeString(o.Options.PublicKey.User.ID)
	if err != nil {
		t.Fatal(err)
	}
	a.user = user
	data := a.data(true)
	object := append([]byte{0xa3, 0x63}, "fmt"...)
	object = append(append(object, 0x64), "none"...)
	object = append(append(object, 0x67), "attStmt"...)
	object = append(append(object, 0xa0, 0x68), "authData"...)
	object = append(binary.BigEndian.AppendUint16(append(object, 0x59), uint16(len(data))), data...)
	return map[string]any{
		"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "clientExtensionResults": map[string]any{},
		"response": map[string]any{
			"clientDataJSON": b64(a.client("webauthn.create", o.Options.PublicKey.Challenge)), "attestationObject": b64(object),
			"transports": []string{"internal"},
		},
	}
}

// get answers navigator.credentials.get.
func (a *authenticator) get(t *testing.T, o *options) map[string]any {
	t.Helper()
	data, client := a.data(false), a.client("webauthn.get", o.Options.PublicKey.Challenge)
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	sig, err := ecdsa.SignASN1(rand.Reader, a.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "clientExtensionResults": map[string]any{},
		"response": map[string]any{
			"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(sig), "userHandle": b64(a.user),
		},
	}
}

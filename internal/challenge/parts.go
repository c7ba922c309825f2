package challenge

import (
	"encoding/base64"
	"strconv"
	"strings"
)

var encoding = base64.RawURLEncoding.Strict()

const version = "w1"

// parts are the fields of a challenge without its signature. There is one
// spelling of them.
type parts struct {
	difficulty int
	expires    int64 // Unix seconds
	id         string
	purpose    string
	binding    string
}

func (p parts) String() string {
	return strings.Join([]string{
		version,
		strconv.Itoa(p.difficulty),
		strconv.FormatInt(p.expires, 10),
		p.id,
		encoding.EncodeToString([]byte(p.purpose)),
		p.binding,
	}, ".")
}

// parse reads what String wrote, and nothing else.
func parse(text string) (parts, error) {
	fields := strings.Split(text, ".")
	if len(fields) != 6 || fields[0] != version {
		return parts{}, ErrInvalid
	}
	var p parts
	var err error
	if p.difficulty, err = strconv.Atoi(fields[1]); err != nil || p.difficulty < MinDifficulty || p.difficulty > MaxDifficulty {
		return parts{}, ErrInvalid
	}
	if p.expires, err = strconv.ParseInt(fields[2], 10, 64); err != nil {
		return parts{}, ErrInvalid
	}
	p.id, p.binding = fields[3], fields[5]
	for _, s := range []string{p.id, p.binding} {
		b, err := encoding.DecodeString(s)
		if err != nil || len(b) != 16 || encoding.EncodeToString(b) != s {
			return parts{}, ErrInvalid
		}
	}
	purpose, err := encoding.DecodeString(fields[4])
	if err != nil || len(purpose) > MaxPurpose {
		return parts{}, ErrInvalid
	}
	p.purpose = string(purpose)
	if p.String() != text {
		return parts{}, ErrInvalid
	}
	return p, nil
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

package demo

import (
	"fmt"
	"net/netip"
	"strings"
)

// person has an account, a place and a browser.
type person struct {
	name, password string
	realm          Realm
	addr           netip.Addr
	agent          string
}

// Agents of browsers, and of programs that guess.
var (
	browsers = []string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
		"Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Safari/605.1.15",
	}
	programs = []string{"python-requests/2.32.3", "curl/8.16.0", "Go-http-client/2.0", "okhttp/5.1.0"}
)

var (
	homeNames = []string{
		"amira", "bjorn", "carla", "dmitri", "elena", "farid", "greta", "hiro", "ines", "jonas", "kavya", "luca",
		"maren", "nadia", "oskar", "priya", "quentin", "rosa", "sven", "tilda", "umar", "vera", "wanja", "yusuf",
	}
	officeNames = []string{
		"anna.office", "ben.office", "chloe.office", "david.office", "emma.office", "finn.office",
		"grace.office", "henry.office", "ida.office", "jack.office", "kate.office", "liam.office",
	}
	words = []string{"amber", "birch", "copper", "delta", "ember", "falcon", "garnet", "harbor", "indigo", "juniper", "kestrel", "lantern"}
)

// forgetful has an application on the telephone that does not know the new
// password.
const forgetful = "dora"

// population are the accounts of the platform.
type population struct {
	home, office, admins []person
	forgetful            person
	visitors             []Login
}

// newPopulation invents everybody. Passwords are drawn anew each time; those of
// the accounts for visitors stay the same.
func newPopulation() *population {
	draw := func() string {
		return words[number(len(words))] + "-" + words[number(len(words))] + fmt.Sprintf("-%02d", number(100))
	}
	p := &population{visitors: []Login{
		{User, "alice", "river-lantern-42"},
		{User, "bob", "copper-falcon-17"},
		{Admin, "root", "harbor-juniper-88"},
	}}
	for i, name := range homeNames {
		p.home = append(p.home, person{name, draw(), User, netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i)}), browsers[i%len(browsers)]})
	}
	for i, name := range officeNames {
		p.office = append(p.office, person{name, draw(), User, officeAddr, browsers[i%3]})
	}
	p.admins = []person{
		{"nora", draw(), Admin, officeAddr, browsers[0]},
		{"otto", draw(), Admin, netip.MustParseAddr("192.0.2.201"), browsers[2]},
	}
	p.forgetful = person{forgetful, draw(), User, netip.MustParseAddr("192.0.2.77"), "SMS-App/3.1 (Android 16)"}
	return p
}

// everybody who needs an account.
func (p *population) everybody() []Login {
	list := append([]Login(nil), p.visitors...)
	for _, group := range [][]person{p.home, p.office, p.admins, {p.forgetful}} {
		for _, one := range group {
			list = append(list, Login{one.realm, one.name, one.password})
		}
	}
	return list
}

// typo is a password as somebody in a hurry types it.
func typo(password string) string {
	switch i := 1 + number(len(password)-2); number(3) {
	case 0:
		return password[:i] + password[i+1:]
	case 1:
		return password[:i] + string(password[i]) + password[i:]
	default:
		return strings.ToUpper(password[:1]) + password[1:]
	}
}

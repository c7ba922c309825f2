// Package gate enforces decisions on HTTP requests of applications that do not
// know Warder. Forward answers the questions of other people's proxies; Site is
// a proxy of its own, which also recognises sign-ins, reserves before a
// password is checked, reads the outcome from the response and ends sessions.
//
// It promises that what it cannot understand is refused and never let through
// by default, that nobody chooses their own address or identity headers, that
// at most a rule's threshold of guesses reaches the application through Site,
// and that a page for strangers tells nothing but a reference. Forward only
// enforces: it counts nothing and sees no outcome.
package gate

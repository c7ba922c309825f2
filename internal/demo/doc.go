// Package demo is the sample that `warder demo` shows: a small SMS platform
// that knows nothing of Warder, a front proxy through which one can visit it
// from several places of the world, people who use it, and attackers.
//
// It promises to listen on loopback addresses only, to make a bounded number
// of requests, and to keep nothing once the process ends. All its names,
// addresses and messages are invented; the addresses are those that RFC 5737
// and RFC 3849 reserve for examples.
//
// It protects nothing, and the server never imports it: the command of its own
// is the only way in.
package demo

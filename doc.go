// Package warder holds the words that every part of Warder shares, as Go
// types: events, actions, decisions, blocks, and the two keys that everything
// is counted by, the address key and the account key.
//
// It parses and validates these words and does nothing else: no I/O, no clock,
// no state. Everything that arrives from outside passes through here first, so
// that the packages above can rely on addresses being unmapped, names being
// well formed and texts being bounded.
package warder

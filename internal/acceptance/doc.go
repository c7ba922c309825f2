// Package acceptance holds the tests of what Warder promises, made on the
// program that ships: each starts `warder serve` as its own process on a data
// directory of its own and drives it as the world does, over HTTP, by the
// command line, with a mail server, a second hand on its database and kill -9.
// There is nothing to import.
//
// Without further ado every test runs in a short form. With WARDER_SOAK=1 (make
// soak) it runs in full: more rounds, more keys, longer failures. With
// WARDER_RACE=1 the program is built with the race detector. WARDER_IPSUM_FILE
// names an IPsum list to use instead of a made-up one.
package acceptance

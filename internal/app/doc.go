// Package app is one instance of Warder, wired together: New builds the parts
// in the order in which they depend on each other, Run keeps them going, and
// nothing accepts a connection before Blocks and counters are loaded.
//
// It promises that one data directory is served by one process, that whatever
// New has opened is closed again in the opposite order, and that a start that
// cannot succeed ends with one line that names the remedy. It decides nothing
// about sign-ins; that is the business of the parts.
package app

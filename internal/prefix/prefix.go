// Package prefix holds immutable tables of address prefixes for lock-free
// reading.
package prefix

// Table maps prefixes to values.
type Table[V any] struct{}

// Package api is Warder's HTTP surface: the data plane that applications call
// on every sign-in, the management API with its OpenAPI document, the event
// stream, health and metrics.
//
// It promises: every request is authenticated by one table of routes and
// scopes; every refusal is a problem document (RFC 9457) that names the place
// of each fault; a request is taken whole or not at all, and in a batch each
// event stands alone; nothing a caller sends makes memory grow beyond the
// limits. It decides nothing itself: handlers parse, call one method of the
// engine or the store, and write the answer.
package api

package gate

import (
	"net/http"
	"strings"
)

// Headers by which a client could say who it is, where it comes from, or that
// it asks for something else than its request line says. Nobody but the gate
// may set them for the application. Names are compared with underscores taken
// for hyphens, since many applications cannot tell them apart.
var forged = map[string]bool{
	"forwarded": true, "x-forwarded": true, "forwarded-for": true, "x-real-ip": true, "true-client-ip": true, "cf-connecting-ip": true, "cf-connecting-ipv6": true,
	"fastly-client-ip": true, "x-client-ip": true, "client-ip": true, "x-cluster-client-ip": true, "x-remote-ip": true,
	"x-remote-addr": true, "x-originating-ip": true, "x-envoy-external-address": true, "x-appengine-user-ip": true,
	"x-azure-clientip": true, "x-azure-socketip": true, "x-proxyuser-ip": true, "wl-proxy-client-ip": true, "proxy-client-ip": true,
	"x-original-url": true, "x-original-uri": true, "x-original-method": true, "x-original-host": true, "x-rewrite-url": true,
	"x-http-method": true, "x-http-method-override": true, "x-method-override": true, "x-http-destinationurl": true,
	"x-host": true, "x-scheme": true, "x-url-scheme": true, "front-end-https": true, "proxy": true,
	"remote-user": true, "remote-name": true, "remote-email": true, "remote-groups": true, "x-remote-user": true, "x-remote-group": true,
	"x-user": true, "x-auth-username": true, "x-ms-client-principal": true,
}

// families are beginnings of such names.
var families = []string{"x-forwarded-", "x-warder-", "x-auth-request-", "x-authentik-", "x-token-user-", "x-original-forwarded-", "x-webauth-", "x-goog-authenticated-user-", "x-ms-client-principal-"}

// harmless reports whether a header is one of those that nearly every request
// has.
func harmless(name string) bool {
	switch name {
	case "Accept", "Accept-Encoding", "Accept-Language", "Cache-Control", "Connection", "Content-Length", "Content-Type",
		"Cookie", "Host", "If-Modified-Since", "If-None-Match", "Origin", "Pragma", "Priority",
		"Range", "Referer", "Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Sec-Fetch-Dest", "Sec-Fetch-Mode",
		"Sec-Fetch-Site", "Sec-Fetch-User", "Te", "Upgrade", "Upgrade-Insecure-Requests", "User-Agent", "Authorization":
		return true
	}
	return false
}

// cleanse takes out of a request to the application what its client must not
// say.
func cleanse(h http.Header) {
	for name := range h {
		if harmless(name) {
			continue
		}
		lower := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if strings.Contains(name, "_") || forged[lower] {
			delete(h, name)
			continue
		}
		if lower[0] != 'x' {
			continue
		}
		for _, family := range families {
			if strings.HasPrefix(lower, family) {
				delete(h, name)
				break
			}
		}
	}
}

// keepAll keeps a client from having headers taken out on the way, by naming them
// in Connection: the gate goes by what the application then does not see, such
// as the type of a form. What is for one connection only is never passed on
// anyhow; nothing else but a WebSocket is asked for there.
func keepAll(h http.Header) {
	for _, line := range h["Connection"] {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "upgrade") {
				h["Connection"] = upgrading
				return
			}
		}
	}
	delete(h, "Connection")
}

var upgrading = []string{"Upgrade"}

package gate

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadRPC(t *testing.T) {
	param := func(values ...string) string {
		s := "<methodCall><methodName>m</methodName><params>"
		for _, v := range values {
			s += "<param><value>" + v + "</value></param>"
		}
		return s + "</params></methodCall>"
	}
	tests := []struct {
		name, body string
		want       fields // nil: a fault
	}{
		{"texts", param("<string> alice </string>", "x", "<base64>eA==</base64>"), fields{"methodName": {"m"}, "params.0": {"alice"}, "params.1": {"x"}, "params.2": {"x"}}},
		{
			"what is no text keeps its place", param("<int>1</int>", "<array><data><value>a</value></data></array>", "<struct><member><name>n</name><value>v</value></member></struct>", "<string>b</string>"),
			fields{"methodName": {"m"}, "params.3": {"b"}},
		},
		{
			"as it is printed", "<?xml version=\"1.0\"?>\n<methodCall>\n <methodName> m </methodName>\n <params>\n  <param>\n   <value>\n    <string>a</string>\n   </value>\n  </param>\n </params>\n</methodCall>\n",
			fields{"methodName": {"m"}, "params.0": {"a"}},
		},
		{"a comment does not cut a name", "<methodCall><methodName>pin<!-- -->gback</methodName></methodCall>", fields{"methodName": {"pingback"}}},
		{"no parameters", "<methodCall><methodName>m</methodName></methodCall>", fields{"methodName": {"m"}}},
		{"entities", param("<string>&lt;a&#98;</string>"), fields{"methodName": {"m"}, "params.0": {"<ab"}}},

		{"nothing", "", nil},
		{"no method", "<methodCall></methodCall>", nil},
		{"two methods", "<methodCall><methodName>a</methodName><methodName>b</methodName></methodCall>", nil},
		{"two calls", "<methodCall><methodName>a</methodName></methodCall><methodCall><methodName>b</methodName></methodCall>", nil},
		{"two values", "<methodCall><methodName>m</methodName><params><param><value>a</value><value>b</value></param></params></methodCall>", nil},
		{"two types", param("<string>a</string><string>b</string>"), nil},
		{"a text beside a type", param("a<string>b</string>"), nil},
		{"a text after a type", param("<string>b</string>a"), nil},
		{"a value outside of params", "<methodCall><value>a</value><methodName>m</methodName></methodCall>", nil},
		{"an element in a text", param("<string>a<b/></string>"), nil},
		{"another type", param("<text>a</text>"), nil},
		{"a name space", "<x:methodCall xmlns:x='y'><methodName>m</methodName></x:methodCall>", nil},
		{"attributes", "<methodCall><methodName a='b'>m</methodName></methodCall>", nil},
		{"a document type", "<!DOCTYPE methodCall [<!ENTITY a 'b'>]><methodCall><methodName>&a;</methodName></methodCall>", nil},
		{"another encoding", "<?xml version=\"1.0\" encoding=\"UTF-16\"?><methodCall><methodName>m</methodName></methodCall>", nil},
		{"UTF-16", "\xfe\xff\x00<\x00m", nil},
		{"not closed", "<methodCall><methodName>m</methodName>", nil},
		{"too deep", param(strings.Repeat("<array><data><value>", 100) + strings.Repeat("</value></data></array>", 100)), nil},
		{"too much", param("<array><data>" + strings.Repeat("<value/>", maxElements) + "</data></array>"), nil},
		{"a response", "<methodResponse><params/></methodResponse>", nil},
	}
	for _, tt := range tests {
		got, err := readRPC([]byte(tt.body))
		if tt.want == nil {
			if err == nil {
				t.Errorf("%s: read as %v", tt.name, got)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", tt.name, err, diff)
		}
	}
}

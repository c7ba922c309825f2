package policy

import (
	"net/netip"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
)

// Stubs of what is being written; the signatures are final.

func Parse(data []byte) (*Document, error)    { panic("not yet") }
func (d *Document) YAML() []byte              { panic("not yet") }
func (d *Document) Compile() (*Policy, error) { panic("not yet") }
func Preset(name string) (*Document, error)   { panic("not yet") }
func Presets() []string                       { panic("not yet") }

type TestSpec struct{}

// Policy is a compiled document: immutable and safe for concurrent use.
type Policy struct {
	Rules     []*Rule
	Trusted   []netip.Prefix
	Blocked   []Blocked
	Providers []Provider    // those that are switched on
	Lookback  time.Duration // of History; 0: history is off
}

// Provider is an external threat feed.
type Provider struct {
	Name    string
	URL     string
	Format  string
	Refresh time.Duration
	levels  []Level
}

// HistoryFacts is what an address did within the look-back.
type HistoryFacts struct {
	PreviousBlocks   int
	Failures         int
	MarkedFraudulent bool
}

func (p Provider) Action(level int) warder.Action                               { panic("not yet") }
func (p *Policy) Mode() warder.Mode                                             { panic("not yet") }
func (p *Policy) Rule(id string) *Rule                                          { panic("not yet") }
func (p *Policy) History(h HistoryFacts) (warder.Action, string)                { panic("not yet") }
func (p *Policy) MaxWindow() time.Duration                                      { panic("not yet") }
func (p *Policy) Counting() string                                              { panic("not yet") }
func (p *Policy) Test() error                                                   { panic("not yet") }
func (p *Policy) Eligible(e *warder.Event, f *Facts) bool                       { panic("not yet") }
func (p *Policy) Needs(e *warder.Event) Needs                                   { panic("not yet") }
func (p *Policy) Hits(e *warder.Event, f *Facts, at time.Time, seq int64) []Hit { panic("not yet") }
func (p *Policy) Decide(e *warder.Event, f *Facts, hits []Hit, counts []counter.Count) Verdict {
	panic("not yet")
}
func (p *Policy) Severity(name string, covered bool) warder.Severity { panic("not yet") }
func (p *Policy) Takes(e *warder.Event, mfaDemanded bool) (classes []string, completed bool) {
	panic("not yet")
}
func AttemptNames(stem string) (success, failure, errored string) { panic("not yet") }

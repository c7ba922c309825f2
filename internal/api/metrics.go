package api

import (
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// metrics are the figures of /metrics. No label ever holds an address, an
// account or anything else that a stranger can choose.
type metrics struct {
	registry *prometheus.Registry
	handler  http.Handler

	decisions  *prometheus.CounterVec
	byAction   map[warder.Action]map[warder.Why]prometheus.Counter // resolved beforehand: no look-up by label per request
	severity   *prometheus.CounterVec
	bySev      [warder.Critical + 1]prometheus.Counter
	refused    *prometheus.CounterVec
	panics     prometheus.Counter
	cspReports prometheus.Counter
	polls      atomic.Int64
	streams    atomic.Int64
}

var reasons = []warder.Why{
	warder.OK, warder.Disabled, warder.Trusted, warder.Blocked, warder.Threshold, warder.Provider, warder.Geo,
	warder.History, warder.DemandStanding, warder.SessionRevoked, warder.Risk, warder.Pattern,
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "warder_decisions_total", Help: "Answers of the API and of forward auth, by action and reason.",
		}, []string{"action", "reason"}),
		severity: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "warder_events_total", Help: "Events committed since the start, by severity.",
		}, []string{"severity"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "warder_api_refused_total", Help: "Requests refused for who sent them, by cause: missing, wrong, source, scope, role.",
		}, []string{"cause"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "warder_api_panics_total", Help: "Requests that ended in a panic. Should be 0.",
		}),
		cspReports: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "warder_csp_reports_total", Help: "Reports of browsers about the content security policy. Should be 0.",
		}),
		byAction: map[warder.Action]map[warder.Why]prometheus.Counter{},
	}
	for a := warder.Allow; a <= warder.BlockAction; a++ {
		m.byAction[a] = map[warder.Why]prometheus.Counter{}
		for _, why := range reasons {
			m.byAction[a][why] = m.decisions.WithLabelValues(a.String(), string(why))
		}
	}
	for sev := range m.bySev {
		m.bySev[sev] = m.severity.WithLabelValues(warder.Severity(sev).String())
	}
	m.registry.MustRegister(
		m.decisions, m.severity, m.refused, m.panics, m.cspReports,
		&engineCollector{s: s},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
	return m
}

func (m *metrics) serve(w http.ResponseWriter, r *http.Request, _ *caller) { m.handler.ServeHTTP(w, r) }

// decided counts an answer.
func (m *metrics) decided(a warder.Action, why warder.Why) {
	if c := m.byAction[a][why]; c != nil {
		c.Inc()
	}
}

// record counts the events of a committed record.
func (m *metrics) record(rec *guard.Record) {
	for i := range rec.Events {
		if sev := rec.Events[i].Severity; int(sev) < len(m.bySev) {
			m.bySev[sev].Inc()
		}
	}
}

// Registry is where other parts register their own figures.
func (s *Server) Registry() *prometheus.Registry { return s.metrics.registry }

// engineCollector reads the engine's figures when they are asked for.
type engineCollector struct{ s *Server }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("warder_"+name, help, labels, nil)
}

var (
	descBlocks      = describe("blocks_live", "Blocks in force.")
	descDemands     = describe("demands_live", "Demands in force.")
	descTrusted     = describe("trusted_entries", "Entries of the trusted list.")
	descSessions    = describe("sessions", "Sessions in memory.")
	descKnown       = describe("known_sources", "Known sources in memory.")
	descAttempts    = describe("attempts_open", "Attempts that await their outcome.")
	descQueueRows   = describe("journal_queue_rows", "Records that await their commit.")
	descQueueBytes  = describe("journal_queue_bytes", "Bytes that await their commit.")
	descUnjournaled = describe("journal_lost_total", "Settlements that counted but could not be journaled.")
	descCommits     = describe("journal_commit_seconds", "How long commits of the journal took.")
	descKeys        = describe("counter_keys", "Counters in memory.")
	descBytes       = describe("counter_bytes", "Bytes that the counters occupy.")
	descCap         = describe("counter_cap_bytes", "Bytes that the counters may occupy.")
	descEvicted     = describe("counter_evicted_total", "Counters forgotten for lack of memory.")
	descGuaranteed  = describe("counter_guaranteed_keys", "As long as fewer keys stand at half their threshold, none of them is forgotten.")
	descHeld        = describe("counter_held", "Reservations that hold slots.")
	descWaiters     = describe("counter_waiters", "Attempts that wait for a slot.")
	descDegraded    = describe("degraded", "1 for each reason why Warder works with less than it should.", "reason")
	descFeed        = describe("feed_entries", "Entries of a provider's list in force.", "provider")
	descFeedStale   = describe("feed_stale", "1 if a provider's list is too old.", "provider")
	descPolls       = describe("api_long_polls", "Long polls under way.")
	descStreams     = describe("api_streams", "Event streams under way.")
	descBuild       = describe("build_info", "Always 1; the label says which version this is.", "version")
)

// Describe implements prometheus.Collector.
func (c *engineCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descBlocks, descDemands, descTrusted, descSessions, descKnown, descAttempts, descQueueRows, descQueueBytes,
		descUnjournaled, descCommits, descKeys, descBytes, descCap, descEvicted, descGuaranteed, descHeld, descWaiters,
		descDegraded, descFeed, descFeedStale, descPolls, descStreams, descBuild,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *engineCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	st := c.s.opts.Guard.Stats()
	gauge(descBlocks, float64(st.Blocks))
	gauge(descDemands, float64(st.Demands))
	gauge(descTrusted, float64(st.Trusted))
	gauge(descSessions, float64(st.Sessions))
	gauge(descKnown, float64(st.Known))
	gauge(descAttempts, float64(st.Attempts))
	gauge(descQueueRows, float64(st.QueueRows))
	gauge(descQueueBytes, float64(st.QueueBytes))
	count(descUnjournaled, float64(st.Unjournaled))
	ch <- prometheus.MustNewConstSummary(descCommits, uint64(max(st.Commits, 0)), st.CommitSeconds, nil)
	gauge(descKeys, float64(st.Counters.Keys))
	gauge(descBytes, float64(st.Counters.Bytes))
	gauge(descCap, float64(st.Counters.Cap))
	count(descEvicted, float64(st.Counters.Evicted))
	gauge(descGuaranteed, float64(st.Counters.Guaranteed))
	gauge(descHeld, float64(st.Counters.Held))
	gauge(descWaiters, float64(st.Counters.Waiters))
	seen := map[string]bool{}
	for _, d := range c.s.opts.Guard.Degraded() {
		if !seen[d.Reason] {
			seen[d.Reason] = true
			gauge(descDegraded, 1, d.Reason)
		}
	}
	if c.s.opts.Providers != nil {
		for _, f := range c.s.opts.Providers.Statuses() {
			stale := 0.0
			if f.Stale {
				stale = 1
			}
			gauge(descFeed, float64(f.Entries), f.Name)
			gauge(descFeedStale, stale, f.Name)
		}
	}
	gauge(descPolls, float64(c.s.metrics.polls.Load()))
	gauge(descStreams, float64(c.s.metrics.streams.Load()))
	gauge(descBuild, 1, c.s.opts.Version)
}

package store

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
)

var errTodo = errors.New("not written yet")

// DB is an open database. Methods are safe for concurrent use.
type DB struct{}

var (
	_ guard.Journal  = (*DB)(nil)
	_ operator.Store = (*DB)(nil)
)

// Open opens or creates the database and brings it to the version of this program.
func Open(context.Context, Options) (*DB, error) { return nil, errTodo }

// Close waits for what is under way.
func (d *DB) Close() error { return nil }

// Journal.
func (d *DB) Commit(context.Context, []*guard.Record) (guard.Committed, error) {
	return guard.Committed{}, errTodo
}

func (d *DB) Answers(ctx context.Context, app string, ids []string, since time.Time) (map[string]guard.Answer, error) {
	return nil, errTodo
}
func (d *DB) Load(ctx context.Context, now time.Time) (*guard.State, error) { return nil, errTodo }
func (d *DB) Blocks(ctx context.Context, now time.Time, f func(*guard.Block) error) error {
	return errTodo
}

func (d *DB) Tail(ctx context.Context, after int64, f func(guard.TailItem) error) error {
	return errTodo
}

// KeepHistory makes Commit and Load report the history of addresses over lookback; 0 stops it.
func (d *DB) KeepHistory(lookback time.Duration) {}

// EventFilter selects events. Zero fields select everything.
type EventFilter struct {
	From, To   time.Time // From <= time of the event < To
	Names      []string
	Severities []warder.Severity
	IP         netip.Prefix // every address within it
	Account    string       // in any spelling
	Realm      string
	Rule       string
	Q          string // exact id, reference, address or account; else prefix of account or path
}

// ListEvents, latest first.
func (d *DB) ListEvents(ctx context.Context, f EventFilter, p Page) (List[guard.Event], error) {
	return List[guard.Event]{}, errTodo
}

// Event finds an event by id (the latest, if an application used the id again after a day).
func (d *DB) Event(ctx context.Context, id string) (*guard.Event, error) { return nil, errTodo }

// EventsAfter returns events with a number above seq, in the order of their numbers.
func (d *DB) EventsAfter(ctx context.Context, seq int64, limit int) ([]guard.Event, error) {
	return nil, errTodo
}

// EachEvent calls f for every event of the filter, latest first, in flat memory.
func (d *DB) EachEvent(ctx context.Context, f EventFilter, each func(*guard.Event) error) error {
	return errTodo
}

// TrendQuery says how a trend is cut: the last Days days up to Now, by "day" or "hour" of Zone.
type TrendQuery struct {
	Now    time.Time
	Days   int
	Bucket string
	Zone   *time.Location
}

// Bucket is one bar of a trend.
type Bucket struct {
	Time     time.Time `json:"time"`
	Info     int64     `json:"info"`
	Warning  int64     `json:"warning"`
	High     int64     `json:"high"`
	Critical int64     `json:"critical"`
}

// Count is a name and how often it occurred.
type Count struct {
	Name  string `json:"name"`
	Count int64  `json:"count"`
}

// Attacker is an address and what it did. BlockID is a live block of it.
type Attacker struct {
	IP       netip.Prefix     `json:"ip"`
	Count    int64            `json:"count"`
	Types    map[string]int64 `json:"types"`
	LastSeen time.Time        `json:"last_seen"`
	BlockID  string           `json:"block_id,omitempty"`
}

// Summary is the head of the dashboard.
type Summary struct {
	Events       int64 `json:"events"` // in the filter's range
	Warning      int64 `json:"warning"`
	High         int64 `json:"high"`
	Critical     int64 `json:"critical"`
	ActiveBlocks int64 `json:"active_blocks"`
	NewBlocks    int64 `json:"new_blocks"` // in the filter's range
	Unreviewed   int64 `json:"unreviewed_blocks"`
	Demands      int64 `json:"demands"`
	Sessions     int64 `json:"sessions"` // live ones
	Addresses    int64 `json:"suspicious_addresses"`
}

func (d *DB) Trend(ctx context.Context, f EventFilter, q TrendQuery) ([]Bucket, error) {
	return nil, errTodo
}
func (d *DB) Types(ctx context.Context, f EventFilter) ([]Count, error) { return nil, errTodo }
func (d *DB) Attackers(ctx context.Context, f EventFilter, now time.Time, limit int) ([]Attacker, error) {
	return nil, errTodo
}

func (d *DB) Summary(ctx context.Context, f EventFilter, now time.Time) (Summary, error) {
	return Summary{}, errTodo
}

// Address is what is known of an address key.
type Address struct {
	IP         netip.Prefix    `json:"ip"`
	FirstSeen  time.Time       `json:"first_seen"`
	LastSeen   time.Time       `json:"last_seen"`
	Events     int64           `json:"events"`
	Completed  int64           `json:"completed"`
	Bad        int64           `json:"bad"` // events of severity warning and above
	Worst      warder.Severity `json:"worst"`
	Blocks     int64           `json:"blocks"` // automatic ones, ever
	Account    string          `json:"last_account,omitempty"`
	Realm      string          `json:"last_realm,omitempty"`
	Event      string          `json:"last_event,omitempty"`
	Suspicious bool            `json:"suspicious"`
	Fraudulent bool            `json:"fraudulent"`
	Note       string          `json:"note,omitempty"`
	MarkedBy   string          `json:"marked_by,omitempty"`
	MarkedAt   time.Time       `json:"marked_at,omitzero"`
}

// AddressFilter selects addresses.
type AddressFilter struct {
	Suspicious bool
	IP         netip.Prefix
}

func (d *DB) ListAddresses(ctx context.Context, f AddressFilter, p Page) (List[Address], error) {
	return List[Address]{}, errTodo
}

// Address returns what is known of the address key of an address; ErrNotFound if nothing.
func (d *DB) Address(ctx context.Context, ip netip.Prefix) (*Address, error) { return nil, errTodo }

// AccountsOf returns the accounts that completed sign-ins from an address key in 14 days, latest first.
func (d *DB) AccountsOf(ctx context.Context, ip netip.Prefix, limit int) ([]guard.Good, error) {
	return nil, errTodo
}

// Account is what is known of an account.
type Account struct {
	Key        string       `json:"-"`
	Account    string       `json:"account"` // as last reported
	Realm      string       `json:"realm,omitempty"`
	FirstSeen  time.Time    `json:"first_seen"`
	LastSeen   time.Time    `json:"last_seen"`
	Events     int64        `json:"events"`
	Completed  int64        `json:"completed"`
	Bad        int64        `json:"bad"`
	IP         netip.Prefix `json:"last_ip,omitzero"`
	Event      string       `json:"last_event,omitempty"`
	Suspicious bool         `json:"suspicious"`
}

// AccountFilter selects accounts.
type AccountFilter struct {
	Suspicious bool
	Realm      string
	Q          string // prefix of the account
}

func (d *DB) ListAccounts(ctx context.Context, f AccountFilter, p Page) (List[Account], error) {
	return List[Account]{}, errTodo
}

// Account returns what is known of an account key.
func (d *DB) Account(ctx context.Context, key string) (*Account, error) { return nil, errTodo }

// KnownSources returns the sources known of an account key, latest first.
func (d *DB) KnownSources(ctx context.Context, key string, limit int) ([]guard.Known, error) {
	return nil, errTodo
}

// BlockFilter selects blocks; State as at Now ("" = all).
type BlockFilter struct {
	Now      time.Time
	State    string // active, expired, lifted, observed, all
	From, To time.Time
	IP       netip.Prefix // blocks that overlap it
	Account  string
	Event    string
	Rule     string
	Source   string // rule, manual, policy, import
	Reviewed *bool
	Q        string // exact id, reference, address or account; else prefix of account
}

// ListBlocks, latest first. Evidence is given by Block only.
func (d *DB) ListBlocks(ctx context.Context, f BlockFilter, p Page) (List[guard.Block], error) {
	return List[guard.Block]{}, errTodo
}

// Block finds a block by id, with its evidence.
func (d *DB) Block(ctx context.Context, id string) (*guard.Block, error) { return nil, errTodo }

// EachBlock calls f for every block of the filter, latest first, with evidence.
func (d *DB) EachBlock(ctx context.Context, f BlockFilter, each func(*guard.Block) error) error {
	return errTodo
}

// Referenced is what a reference names: one of the two is set.
type Referenced struct {
	Block   *guard.Block   `json:"block,omitempty"`
	Refusal *guard.Refusal `json:"refusal,omitempty"`
}

func (d *DB) Reference(ctx context.Context, ref string) (Referenced, error) {
	return Referenced{}, errTodo
}

// TrustedList returns the live entries, latest first.
func (d *DB) TrustedList(ctx context.Context, now time.Time) ([]guard.Trusted, error) {
	return nil, errTodo
}

// ListDemands returns the standing ones, latest first.
func (d *DB) ListDemands(ctx context.Context, now time.Time, p Page) (List[guard.Demand], error) {
	return List[guard.Demand]{}, errTodo
}

// SessionFilter selects sessions.
type SessionFilter struct {
	Account string // in any spelling
	Realm   string
	IP      netip.Prefix // opened or last used within it
	Live    bool         // only those not revoked
}

func (d *DB) ListSessions(ctx context.Context, f SessionFilter, p Page) (List[guard.Session], error) {
	return List[guard.Session]{}, errTodo
}

// Revocations is a part of the feed. Next is the number to continue after;
// Reset says that rows after the asked number are gone already.
type Revocations struct {
	Items []guard.Revoked `json:"items"`
	Next  int64           `json:"next"`
	Reset bool            `json:"reset,omitempty"`
}

// Revocations returns those with a number above after, in commit order; after < 0 starts at the oldest kept.
func (d *DB) Revocations(ctx context.Context, after int64, limit int) (Revocations, error) {
	return Revocations{}, errTodo
}

// PolicyRevisions, latest first, without documents.
func (d *DB) PolicyRevisions(ctx context.Context, p Page) (List[guard.Revision], error) {
	return List[guard.Revision]{}, errTodo
}

// PolicyRevision returns one revision; n = 0 the latest.
func (d *DB) PolicyRevision(ctx context.Context, n int64) (*guard.Revision, error) {
	return nil, errTodo
}

// AuditFilter selects audit rows.
type AuditFilter struct {
	From, To time.Time
	Actor    string
	Action   string
	Target   string
}

// AuditRow is a row of the trail with its number.
type AuditRow struct {
	Seq int64 `json:"seq"`
	guard.Audit
}

func (d *DB) ListAudit(ctx context.Context, f AuditFilter, p Page) (List[AuditRow], error) {
	return List[AuditRow]{}, errTodo
}

func (d *DB) EachAudit(ctx context.Context, f AuditFilter, each func(*AuditRow) error) error {
	return errTodo
}

// AppendAudit writes one row of the trail by itself, for changes that happen elsewhere.
func (d *DB) AppendAudit(ctx context.Context, a guard.Audit) error { return errTodo }

// AuditReport is the result of VerifyAudit. Bad is the number of the first row
// that is wrong (0: none), Fault says what is the matter with it.
type AuditReport struct {
	OK    bool   `json:"ok"`
	Rows  int64  `json:"rows"`
	First int64  `json:"first"`
	Last  int64  `json:"last"`
	Bad   int64  `json:"bad,omitempty"`
	Fault string `json:"fault,omitempty"`
}

func (d *DB) VerifyAudit(ctx context.Context) (AuditReport, error) { return AuditReport{}, errTodo }

// Key is an API key. Only the SHA-256 of its secret is stored.
type Key struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Hash      [32]byte       `json:"-"`
	Scopes    []string       `json:"scopes"`
	Prefixes  []netip.Prefix `json:"prefixes,omitempty"`
	Can       []string       `json:"can,omitempty"`
	Created   time.Time      `json:"created"`
	LastUsed  time.Time      `json:"last_used,omitzero"`
	RevokedAt time.Time      `json:"revoked_at,omitzero"`
}

// CreateKey stores a key; ErrConflict if a live key has the name.
func (d *DB) CreateKey(ctx context.Context, k Key, audit guard.Audit) error { return errTodo }
func (d *DB) Keys(ctx context.Context) ([]Key, error)                       { return nil, errTodo }

// KeyByHash finds a live key by the SHA-256 of its secret.
func (d *DB) KeyByHash(ctx context.Context, hash [32]byte) (*Key, error) { return nil, errTodo }

// RevokeKey revokes by id or name.
func (d *DB) RevokeKey(ctx context.Context, idOrName string, at time.Time, audit guard.Audit) error {
	return errTodo
}

// TouchKey notes when a key was used last.
func (d *DB) TouchKey(ctx context.Context, id string, at time.Time) error { return errTodo }

// operator.Store.
func (d *DB) Operators(ctx context.Context) ([]operator.Operator, error) { return nil, errTodo }

func (d *DB) OperatorByEmail(ctx context.Context, email string) (*operator.Operator, error) {
	return nil, errTodo
}

func (d *DB) CreateOperator(ctx context.Context, o operator.Operator, by operator.Change) error {
	return errTodo
}

func (d *DB) UpdateOperator(ctx context.Context, o operator.Operator, by operator.Change) error {
	return errTodo
}

// Note is a text that an operator left on something ("ip:203.0.113.7").
type Note struct {
	ID   string    `json:"id"`
	On   string    `json:"on"`
	Text string    `json:"text"`
	By   string    `json:"by"`
	Time time.Time `json:"time"`
}

func (d *DB) AddNote(ctx context.Context, n Note, audit guard.Audit) error { return errTodo }
func (d *DB) Notes(ctx context.Context, on string, p Page) (List[Note], error) {
	return List[Note]{}, errTodo
}
func (d *DB) DeleteNote(ctx context.Context, id string, audit guard.Audit) error { return errTodo }

// View is a saved filter of a list.
type View struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	List    string    `json:"list"`
	Query   string    `json:"query"`
	By      string    `json:"by"`
	Created time.Time `json:"created"`
}

func (d *DB) SaveView(ctx context.Context, v View, audit guard.Audit) error      { return errTodo }
func (d *DB) Views(ctx context.Context) ([]View, error)                          { return nil, errTodo }
func (d *DB) DeleteView(ctx context.Context, id string, audit guard.Audit) error { return errTodo }

// Setting returns a stored setting (JSON); ErrNotFound if it was never set.
func (d *DB) Setting(ctx context.Context, name string) (json.RawMessage, error) { return nil, errTodo }

func (d *DB) PutSetting(ctx context.Context, name string, value json.RawMessage, audit guard.Audit) error {
	return errTodo
}

// Repeat is what was answered to a management call with an Idempotency-Key.
type Repeat struct {
	Actor  string // who called
	Key    string // the Idempotency-Key
	Digest []byte // of method, path and body
	Status int
	Body   []byte
	At     time.Time
}

// Repeated returns the answer given to (actor, key) since the given time; ErrNotFound if none.
func (d *DB) Repeated(ctx context.Context, actor, key string, since time.Time) (*Repeat, error) {
	return nil, errTodo
}

// Remember stores an answer; ErrConflict if one is stored already.
func (d *DB) Remember(ctx context.Context, r Repeat) error { return errTodo }

// Spend marks a challenge token as spent, once: ErrSpent the second time.
func (d *DB) Spend(ctx context.Context, id string, until time.Time) error { return errTodo }

// PendingAlerts returns alerts that have no deliveries yet, oldest first.
func (d *DB) PendingAlerts(ctx context.Context, limit int) ([]*guard.Alert, error) {
	return nil, errTodo
}

// FanOut creates one delivery of an alert per recipient. Repeating it adds
// nothing. No recipients: the alert is done.
func (d *DB) FanOut(ctx context.Context, alertID string, recipients []string, at time.Time) error {
	return errTodo
}

// AddAlert puts an alert into the outbox by itself.
func (d *DB) AddAlert(ctx context.Context, a *guard.Alert) error { return errTodo }

// Delivery is an alert on its way to one recipient.
type Delivery struct {
	AlertID   string       `json:"alert"`
	Recipient string       `json:"recipient"`
	State     string       `json:"state"` // pending, delivered, failed
	Attempts  int          `json:"attempts"`
	Next      time.Time    `json:"next,omitzero"`
	LastError string       `json:"last_error,omitempty"`
	Created   time.Time    `json:"created"`
	Done      time.Time    `json:"delivered,omitzero"`
	Alert     *guard.Alert `json:"-"` // given by DueDeliveries
}

// DueDeliveries returns pending deliveries whose Next is not after now, oldest first.
func (d *DB) DueDeliveries(ctx context.Context, now time.Time, limit int) ([]Delivery, error) {
	return nil, errTodo
}

// MarkDelivered says that alerts reached a recipient.
func (d *DB) MarkDelivered(ctx context.Context, recipient string, alertIDs []string, at time.Time) error {
	return errTodo
}

// MarkFailed notes a failed try and when the next is due; a zero next gives up.
func (d *DB) MarkFailed(ctx context.Context, recipient string, alertIDs []string, cause string, next time.Time) error {
	return errTodo
}

// Postpone moves the next try without counting an attempt.
func (d *DB) Postpone(ctx context.Context, recipient string, alertIDs []string, next time.Time) error {
	return errTodo
}

// DeliveredSince counts the mails (distinct delivery instants) sent to a recipient since a time.
func (d *DB) DeliveredSince(ctx context.Context, recipient string, since time.Time) (int, error) {
	return 0, errTodo
}

// Deliveries is the delivery log, latest first.
func (d *DB) Deliveries(ctx context.Context, p Page) (List[Delivery], error) {
	return List[Delivery]{}, errTodo
}

// Alert finds an alert by id.
func (d *DB) Alert(ctx context.Context, id string) (*guard.Alert, error) { return nil, errTodo }

// Retention says what may be deleted: events older than EventsDays (0: none),
// and the oldest events while the database is larger than MaxSize bytes (0: no
// limit).
type Retention struct {
	EventsDays int
	MaxSize    int64
}

// Retained counts what Retain deleted.
type Retained struct {
	Events, Other int64
}

// Retain deletes what is too old, in slices that never hold the writer for long.
func (d *DB) Retain(ctx context.Context, now time.Time, r Retention) (Retained, error) {
	return Retained{}, errTodo
}

// Size is the size of the database in bytes: used pages, and the WAL file.
func (d *DB) Size(ctx context.Context) (int64, error) { return 0, errTodo }

// Ping reads; Writable takes and gives back the write lock.
func (d *DB) Ping(ctx context.Context) error     { return errTodo }
func (d *DB) Writable(ctx context.Context) error { return errTodo }

// Backup writes a consistent copy to a new file.
func (d *DB) Backup(ctx context.Context, path string) error { return errTodo }

// IntegrityCheck reads everything; the error wraps ErrCorrupt.
func (d *DB) IntegrityCheck(ctx context.Context) error { return errTodo }

// SchemaVersion is the version of the schema in the database.
func (d *DB) SchemaVersion(ctx context.Context) (int64, error) { return 0, errTodo }

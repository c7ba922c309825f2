package operator

import (
	"context"
	"time"
)

// OperatorEdit changes one operator in one transaction.
type OperatorEdit struct {
	// Change is called inside the transaction with what is stored then, so that
	// no two changes overwrite each other.
	Change func(*Operator) error
	// EndSessions signs the operator out, but for the session with the id
	// KeepSession. Whoever is not active afterwards is signed out anyway.
	EndSessions bool
	KeepSession string
	// DropFactors removes passkeys and recovery codes too.
	DropFactors bool
}

// Store keeps operators and all that is theirs. Every change that takes a
// Change is durable together with its audit row, or not at all.
type Store interface {
	// Operators returns everybody, oldest first.
	Operators(ctx context.Context) ([]Operator, error)
	// CreateOperator stores a new operator; ErrExists if the e-mail address is
	// taken.
	CreateOperator(ctx context.Context, o Operator, by Change) error
	// CreateFirstOwner stores an owner if there is none, else ErrSetUp.
	CreateFirstOwner(ctx context.Context, o Operator, by Change) error
	// EditOperator changes the operator with an id and returns what came of it;
	// ErrNotFound if there is none, ErrLastOwner if no active owner would be
	// left although there was one. What changes nothing leaves no audit row.
	EditOperator(ctx context.Context, id string, e OperatorEdit, by Change) (Operator, error)

	SessionStore
	FactorStore
	LinkStore
}

// SessionStore keeps sessions by the hash of their token, and the devices that
// operators signed in with.
type SessionStore interface {
	// StartSession stores a session and takes out the one with the hash old, if
	// any; ErrNoSession unless the operator is active and password still the hash
	// of theirs. A signed-in one sets the operator's last sign-in and makes the
	// device known. Of one operator the MaxSessions latest are kept that are
	// signed in, as many that wait for the second factor, and as many devices.
	StartSession(ctx context.Context, s Session, password string, hash, old []byte) error
	// SessionByHash returns a session with its operator, or ErrNoSession.
	SessionByHash(ctx context.Context, hash []byte) (Session, Operator, error)
	// TouchSession notes when and from where a session was used last.
	TouchSession(ctx context.Context, id string, at time.Time, ip string) error
	// FailSession counts a wrong code and returns how many there were.
	FailSession(ctx context.Context, id string) (int, error)
	// DropSession takes a session out, without an audit row: its own end.
	DropSession(ctx context.Context, id string) error
	// EndSessions ends sessions of an operator: the one with the id, or with an
	// empty id all of them. It returns how many there were.
	EndSessions(ctx context.Context, operator, id string, by Change) (int, error)
	// SessionsOf lists the sessions of an operator; of all with an empty id.
	SessionsOf(ctx context.Context, operator string) ([]Session, error)
	// SweepSessions takes out sessions that ended, or were last used before
	// idle, devices last seen before devices, and links that ended.
	SweepSessions(ctx context.Context, now, idle, devices time.Time) error
	// KnownDevice reports whether an operator signed in with a device since.
	KnownDevice(ctx context.Context, operator, device string, since time.Time) (bool, error)
}

// FactorStore keeps second factors.
type FactorStore interface {
	// UseStep notes the step of a one-time code; ErrWrong unless it is later
	// than every one before.
	UseStep(ctx context.Context, operator string, step int64) error
	// ReplaceRecoveryCodes stores the hashes of new codes in place of all.
	ReplaceRecoveryCodes(ctx context.Context, operator string, hashes [][]byte, by Change) error
	// SpendRecoveryCode uses a code up; ErrWrong if there is none with the hash.
	SpendRecoveryCode(ctx context.Context, operator string, hash []byte, by Change) error
	// AddPasskey stores a passkey; ErrExists if the credential is stored.
	AddPasskey(ctx context.Context, k Passkey, by Change) error
	// Passkeys lists an operator's passkeys, oldest first.
	Passkeys(ctx context.Context, operator string) ([]Passkey, error)
	// PasskeyByCredential finds a passkey by its credential id; ErrNoFactor.
	PasskeyByCredential(ctx context.Context, credential []byte) (Passkey, error)
	// UsePasskey stores a passkey's record and last use after it was used.
	UsePasskey(ctx context.Context, k Passkey) error
	// RemovePasskey removes a passkey of an operator; ErrNoFactor.
	RemovePasskey(ctx context.Context, operator, id string, by Change) error
}

// LinkStore keeps invitations and resets by the hash of their token.
type LinkStore interface {
	// CreateLink stores a link and ends those before it for the same e-mail
	// address. With edit, the operator it is for is changed together with it.
	CreateLink(ctx context.Context, l Link, hash []byte, edit *OperatorEdit, by Change) error
	// Links lists the links that work at a time, latest first.
	Links(ctx context.Context, now time.Time) ([]Link, error)
	// LinkByHash returns a link that works at a time, or ErrBadLink.
	LinkByHash(ctx context.Context, hash []byte, now time.Time) (Link, error)
	// RevokeLink takes a link back; ErrNotFound.
	RevokeLink(ctx context.Context, id string, by Change) error
	// AcceptInvitation makes the operator and uses the link up, or ErrBadLink.
	AcceptInvitation(ctx context.Context, hash []byte, o Operator, by Change) error
	// AcceptReset changes the operator and uses the link up, or ErrBadLink.
	AcceptReset(ctx context.Context, hash []byte, e OperatorEdit, by Change) (Operator, error)
}

package counter

type ticketState struct{}

// Memory is the Counter of one instance.
type Memory struct{}

// Stats are figures about a Memory.
type Stats struct{}

package counter

type ticketState struct{}

// Memory is the Counter of one instance.
type Memory struct{}

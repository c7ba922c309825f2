package counter

type ticketState struct{}

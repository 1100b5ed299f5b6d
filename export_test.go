package zim

// EventKinds is how many types of events there are.
const EventKinds = int(kindCount) - 1 - int(kindAny)

// Emit queues an event, as if it had happened.
func Emit(z *ZIM, e Event) { z.dispatch.push(e) }

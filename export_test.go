package zim

// EventKinds is how many types of events there are.
const EventKinds = int(kindCount) - 1 - int(kindAny)

// Emit queues an event, as if it had happened.
func Emit(z *ZIM, e Event) { z.dispatch.push(e) }

// DecodeContent returns the content of a message that a service without files sent.
func DecodeContent(kind MessageType, data []byte) Content { return decodeContent(kind, data, nil) }

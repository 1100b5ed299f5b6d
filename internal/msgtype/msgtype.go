// Package msgtype has the documented types of messages, as they are on the wire and in the Server API. To applications they are
// zim.MessageType.
package msgtype

// The documented values.
const (
	Text     = 1
	Command  = 2
	Multiple = 10
	Image    = 11
	File     = 12
	Audio    = 13
	Video    = 14
	Barrage  = 20
	Revoke   = 31
	Tips     = 32
	Combine  = 100
	Custom   = 200
)

package backend

import (
	"math/rand/v2"

	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/wire"
)

// A class is what a request is refused as when the store is late.
type class int

const (
	classVital    class = iota // never refused: what keeps a session and brings it back, and what ends it or a stay in a room
	classBarrage               // messages that may get lost
	classCommand               // signals
	classQuery                 // what only reads, and can be asked again
	classNewLogin              // of those who are not here yet
	classWrite                 // messages that are kept, and whatever else changes something
)

// patience is how late the store may be for a class to be served still, as a share of Config.MaxDelay.
var patience = [...]float64{classBarrage: 0.3, classCommand: 0.45, classQuery: 0.6, classNewLogin: 0.8, classWrite: 1}

// maxFilled is how much of the store's queue counts as late as MaxDelay. The rest of it is for what is never refused.
const maxFilled = 0.9

func classOf(req *wire.Request) class {
	switch b := req.Body.(type) {
	case *wire.Request_Login:
		if !b.Login.Resume {
			return classNewLogin
		}
		return classVital
	case *wire.Request_Heartbeat, *wire.Request_Sync, *wire.Request_RenewToken, *wire.Request_Logout, *wire.Request_EnterRoom,
		*wire.Request_LeaveRoom:
		return classVital
	case *wire.Request_SendMessage:
		switch b.SendMessage.GetType() {
		case msgtype.Barrage:
			return classBarrage
		case msgtype.Command:
			return classCommand
		}
	case *wire.Request_Receipts:
		if !b.Receipts.GetRead() {
			return classQuery
		}
	case *wire.Request_QueryMessages, *wire.Request_QueryPinnedMessages, *wire.Request_QueryCombineMessage,
		*wire.Request_QueryRepliedMessages, *wire.Request_QueryReceiptMembers, *wire.Request_QueryReactionUsers,
		*wire.Request_QueryConversations, *wire.Request_QueryTotalUnread, *wire.Request_QueryRoomMembers, *wire.Request_QueryGroups,
		*wire.Request_QueryGroupMembers:
		return classQuery
	}
	return classWrite
}

// busy returns the refusal of a request that there is no time for now, or nil. Everything that is stored passes the store's one writing
// goroutine, so that what waits there says how late the server is.
func (s *Server) busy(req *wire.Request) *wire.Error {
	c := classOf(req)
	if c == classVital {
		return nil
	}
	wait, filled := s.store.Delay()
	late := max(float64(wait)/float64(s.config.MaxDelay), filled/maxFilled)
	if late < patience[c] {
		return nil
	}
	s.overload.Do(func() { s.log.Warn("backend: too much to do, requests are refused", "wait", wait, "queue", filled) })
	// Those who were refused together are not to come back together.
	return &wire.Error{Code: codeFrequencyLimit, Message: "the server has too much to do", RetryAfterMs: 1000 + rand.Int64N(1000)}
}

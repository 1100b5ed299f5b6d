package backend

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zim-go/zim/internal/ident"
	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/wire"
)

// A Broadcast is a message to all users of an app.
type Broadcast struct {
	Sender       string // who it is from: any user ID
	Type         int32  // a documented message type: text, custom or media
	Content      []byte // the encoding of the wire message of that type
	ExtendedData string
}

// Broadcast sends a message to all users of an app who are online. It is not stored, and belongs to no conversation. A client that is too slow
// misses it.
func (s *Server) Broadcast(appID uint32, b Broadcast) error {
	app := s.apps[appID]
	if app == nil {
		return fmt.Errorf("backend: there is no app %d", appID)
	}
	if err := ident.CheckUserID(b.Sender); err != nil {
		return fmt.Errorf("backend: the sender %w", err)
	}
	if b.Type != msgtype.Text && b.Type != msgtype.Custom && !isMedia(b.Type) {
		return errors.New("backend: only text, custom messages and media are broadcast")
	}
	if len(b.ExtendedData) > app.Limits.ExtendedDataSize {
		return errors.New("backend: the extended data is too long")
	}
	content, refused := app.Limits.check(b.Type, b.Content, false)
	if refused != nil {
		return errors.New("backend: " + refused.Message)
	}
	id := s.store.NextID()
	push := &wire.Push{Transient: []*wire.Message{{
		MessageId: id, OrderKey: id, TimestampMs: time.Now().UnixMilli(), SenderUserId: b.Sender,
		Type: b.Type, Content: content, ExtendedData: b.ExtendedData, Priority: priorityLow, IsBroadcast: true, IsServerMessage: true,
	}}}
	for _, sess := range s.hub.all(appID) {
		sess.link.Push(push)
	}
	return nil
}

// all returns the sessions of an app's users.
func (h *hub) all(app uint32) (list []*session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, p := range h.users {
		if key.app == app {
			list = append(list, p.sessions...)
		}
	}
	return slices.Clip(list)
}

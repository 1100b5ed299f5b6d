package backend

import (
	"fmt"
	"slices"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/wire"
)

const maxPins = 10

// The documented statuses.
const notPinned, pinned, pinUpdated = 0, 1, 2

// pinMessage pins a message for all of its conversation, or unpins it.
func (a *attachment) pinMessage(s *session, id uint64, req *wire.PinMessageRequest) {
	a.change(s, id, func(c *change) (*wire.Response, *wire.Error, error) {
		m, _, refused, err := c.message(req.Message)
		if refused != nil || err != nil {
			return nil, refused, err
		}
		if !ordinary(m.Type) {
			return nil, refuse(codeParamsInvalid, "a message of this type can't be pinned"), nil
		}
		changes, refused, err := c.pin(m, req)
		if refused != nil || err != nil {
			return nil, refused, err
		}
		last := m.Seq()
		for _, p := range changes {
			last = max(last, int64(uint32(p.Message.OrderKey)))
		}
		err = c.tellAll(m.Conversation, m.Place, last, func(*store.User) *wire.Event { return &wire.Event{Pins: changes} })
		return new(wire.Response), nil, err
	})
}

func (c *change) pin(m *store.Message, req *wire.PinMessageRequest) (changes []*wire.PinChange, refused *wire.Error, err error) {
	if !req.Pin {
		was, err := c.DropPin(m.Place)
		if err == nil && !was {
			return nil, refuse(codeNotPinned, "the message is not pinned"), nil
		}
		return []*wire.PinChange{{Status: notPinned, Message: at(m.Place)}}, nil, err
	}
	list, err := c.Pins(m.Conversation)
	if err != nil {
		return nil, nil, err
	}
	change := &wire.PinChange{Status: pinned, Message: at(m.Place)}
	change.Message.PinnedUserId, change.Message.PinnedTimeMs = c.self.UserID, c.now
	if slices.ContainsFunc(list, func(p store.Pin) bool { return p.Place == m.Place }) {
		change.Status = pinUpdated
	} else if len(list) >= maxPins {
		if req.DisableAutoReplace {
			return nil, refuse(codeTooManyPins, fmt.Sprintf("%d messages are pinned already", maxPins)), nil
		}
		oldest := list[len(list)-1].Place
		if _, err := c.DropPin(oldest); err != nil {
			return nil, nil, err
		}
		changes = append(changes, &wire.PinChange{Status: notPinned, Message: at(oldest)})
	}
	return append(changes, change), nil, c.PutPin(store.Pin{Place: m.Place, UserID: c.self.UserID, Time: c.now})
}

// queryPinned reads the pinned messages of a conversation, the latest first.
func (a *attachment) queryPinned(s *session, id uint64, req *wire.QueryPinnedMessagesRequest) {
	a.view(s, id, func(r *reader) (*wire.Response, *wire.Error, error) {
		m, refused, err := r.joined(req.Conversation)
		if refused != nil || err != nil || m == nil {
			return messagesResponse(nil, 0), refused, err
		}
		pins, err := r.Pins(m.Conversation)
		if err != nil {
			return nil, nil, err
		}
		var list []*wire.Message
		for _, p := range pins {
			msg, err := r.seen(m, int64(uint32(p.Place)))
			if err != nil {
				return nil, nil, err
			}
			if msg == nil {
				continue
			}
			w, err := r.render(msg)
			if err != nil {
				return nil, nil, err
			}
			w.PinnedUserId, w.PinnedTimeMs = p.UserID, p.Time
			list = append(list, w)
		}
		// Anybody may pin what is large, and that must not keep the others from the rest.
		return messagesResponse(list[:fitting(list)], 0), nil, nil
	})
}

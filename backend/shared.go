package backend

import "github.com/zim-go/zim/backend/store"

// A shared keeps what is read to tell one user after the other of the same thing, while nothing else is written: a group has many, and
// all of them wait for the store's goroutine.
type shared struct {
	messages  map[int64]*store.Message
	reactions map[int64]*reacted
	member    *store.Member // the latest that was asked for
}

// A reacted is the reactions to a message, and who has reacted how.
type reacted struct {
	list []*store.Reaction
	by   map[int64][]string
}

func newShared() *shared {
	return &shared{messages: make(map[int64]*store.Message), reactions: make(map[int64]*reacted)}
}

// MessageAt is that of the Tx. What it returns while much is shared must not be changed.
func (r *reader) MessageAt(place int64) (*store.Message, error) {
	if r.shared == nil {
		return r.Tx.MessageAt(place)
	}
	m, known := r.shared.messages[place]
	if known {
		return m, nil
	}
	m, err := r.Tx.MessageAt(place)
	if err == nil {
		r.shared.messages[place] = m
	}
	return m, err
}

// Member is that of the Tx. What it returns while much is shared must not be changed.
func (r *reader) Member(c *store.Conversation, user int64) (*store.Member, error) {
	if r.shared == nil {
		return r.Tx.Member(c, user)
	}
	if m := r.shared.member; m != nil && m.User == user && m.Conversation.ID == c.ID {
		return m, nil
	}
	m, err := r.Tx.Member(c, user)
	if err == nil {
		r.shared.member = m
	}
	return m, err
}

// Reactions is that of the Tx, for the user and with some of the others.
func (r *reader) Reactions(at int64) ([]*store.Reaction, error) {
	if r.shared == nil {
		return r.Tx.Reactions(at, r.self.ID, someUsers)
	}
	known := r.shared.reactions[at]
	if known == nil {
		list, err := r.Tx.Reactions(at, 0, someUsers)
		if err != nil {
			return nil, err
		}
		by, err := r.ReactionsBy(at)
		if err != nil {
			return nil, err
		}
		known = &reacted{list, by}
		r.shared.reactions[at] = known
	}
	list := make([]*store.Reaction, len(known.list))
	for i, e := range known.list {
		own := *e
		for _, typ := range known.by[r.self.ID] {
			own.Self = own.Self || typ == e.Type
		}
		list[i] = &own
	}
	return list, nil
}

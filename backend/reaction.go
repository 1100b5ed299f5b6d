package backend

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/wire"
)

const (
	maxReactionType  = 32
	maxReactionTypes = 100
	maxIncrease      = 1_000_000
	reactionWindow   = 7 * 24 * time.Hour
)

// The documented actions.
const reactionAdded, reactionDeleted = 0, 1

// react adds a reaction of the user, or takes reactions away.
func (a *attachment) react(s *session, id uint64, req *wire.ReactRequest) {
	if len(req.Type) > maxReactionType || !utf8.ValidString(req.Type) || req.Type == "" && !req.Remove || req.Increase < 0 || req.Increase > maxIncrease {
		a.refuse(id, refuse(codeParamsInvalid, fmt.Sprintf("a reaction has 1 to %d bytes and is added 0 to %d times", maxReactionType, maxIncrease)))
		return
	}
	a.change(s, id, func(c *change) (*wire.Response, *wire.Error, error) {
		m, _, refused, err := c.message(req.Message)
		if refused != nil || err != nil {
			return nil, refused, err
		}
		if !ordinary(m.Type) {
			return nil, refuse(codeParamsInvalid, "nobody reacts to a message of this type"), nil
		}
		if c.now-m.Time > reactionWindow.Milliseconds() {
			return nil, refuse(codeParamsInvalid, "the message is too old for reactions"), nil
		}
		changes, refused, err := c.react(m, req)
		if refused != nil || err != nil {
			return nil, refused, err
		}
		if len(changes) > 0 {
			err = c.tellAll(m.Conversation, m.Place, m.Seq(), func(*store.User) *wire.Event {
				return &wire.Event{Reaction: &wire.ReactionChange{Message: at(m.Place), UserId: c.self.UserID, Changes: changes}}
			})
			if err != nil {
				return nil, nil, err
			}
		}
		reaction := &wire.Reaction{Type: req.Type}
		list, err := c.reactions(m.Place)
		if i := slices.IndexFunc(list, func(r *wire.Reaction) bool { return r.Type == req.Type }); i >= 0 {
			reaction = list[i]
		}
		return &wire.Response{Body: &wire.Response_React{React: &wire.ReactResponse{Reaction: reaction}}}, nil, err
	})
}

func (c *change) react(m *store.Message, req *wire.ReactRequest) (changes []*wire.ReactionUserChange, refused *wire.Error, err error) {
	if req.Remove {
		types, err := c.Unreact(m.Place, c.self.ID, req.Type)
		for _, t := range types {
			changes = append(changes, &wire.ReactionUserChange{Type: t, Action: reactionDeleted})
		}
		if err == nil && len(types) == 0 && req.Type != "" {
			return nil, refuse(codeReactionExists, "the user has not reacted so"), nil
		}
		return changes, nil, err
	}
	n, err := c.ReactionOf(m.Place, c.self.ID, req.Type)
	if err != nil {
		return nil, nil, err
	}
	if n > 0 && req.Increase == 0 {
		return nil, refuse(codeReactionExists, "the user has reacted so before"), nil
	}
	if n == 0 {
		others, err := c.ReactionTypes(m.Place, req.Type)
		if err != nil {
			return nil, nil, err
		}
		if others >= maxReactionTypes {
			return nil, refuse(codeParamsInvalid, fmt.Sprintf("a message has up to %d kinds of reactions", maxReactionTypes)), nil
		}
	}
	add := int64(max(req.Increase, 1))
	if err := c.React(m.Place, c.self.ID, req.Type, add, c.now); err != nil {
		return nil, nil, err
	}
	if m.Flags&store.FlagReactions == 0 {
		m.Flags |= store.FlagReactions
		if err := c.UpdateMessage(m); err != nil {
			return nil, nil, err
		}
	}
	return []*wire.ReactionUserChange{{Type: req.Type, Action: reactionAdded, SumCount: n + add}}, nil, nil
}

// queryReactionUsers reads who has reacted to a message.
func (a *attachment) queryReactionUsers(s *session, id uint64, req *wire.QueryReactionUsersRequest) {
	a.view(s, id, func(r *reader) (*wire.Response, *wire.Error, error) {
		if req.Count > maxPage || req.Count < 0 || req.Next < 0 {
			return nil, refuse(codeParamsInvalid, "a page has up to 100 users"), nil
		}
		m, _, refused, err := r.message(req.Message)
		if refused != nil || err != nil {
			return nil, refused, err
		}
		limit := int64(pageSize(req.Count, maxPage))
		list, total, err := r.ReactionUsers(m.Place, req.Type, req.Next, limit)
		resp := &wire.ReactionUsers{TotalCount: total}
		for _, e := range list {
			if n := len(resp.Users); n == 0 || resp.Users[n-1].UserId != e.UserID {
				resp.Users = append(resp.Users, &wire.ReactionUser{UserId: e.UserID})
			}
			last := resp.Users[len(resp.Users)-1]
			last.Reactions = append(last.Reactions, &wire.ReactionCount{Type: e.Type, SumCount: e.Count})
		}
		if next := req.Next + limit; len(list) > 0 && next < total {
			resp.Next = next
		}
		return &wire.Response{Body: &wire.Response_ReactionUsers{ReactionUsers: resp}}, nil, err
	})
}

package trust_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zim-go/zim"
)

// A fate is what the changes to a message of one's own must have led to, as far as is known.
type fate struct {
	text    string // of the last edit that was acknowledged; empty if there was none
	unsure  bool   // something else may have happened, or may yet happen
	revoked bool   // that is the end
}

// A mirror is what a person knows of messages by events alone.
type mirror struct {
	messages  map[string]*zim.Message        // of others, by ID
	reactions map[string]map[[2]string]int64 // by ID: how often which user has reacted in which way
}

func newMirror() mirror {
	return mirror{make(map[string]*zim.Message), make(map[string]map[[2]string]int64)}
}

// reacted takes down what an event tells of reactions.
func (m mirror) reacted(e *zim.MessageReactionsChanged) {
	for _, info := range e.ChangeInfoList {
		id := info.Message.ID
		if m.reactions[id] == nil {
			m.reactions[id] = make(map[[2]string]int64)
		}
		for _, u := range info.UserChangeInfoList {
			m.reactions[id][[2]string{u.ReactionType, u.UserID}] = u.SumCount
			if u.Action == zim.MessageReactionUserChangeActionDeleted {
				delete(m.reactions[id], [2]string{u.ReactionType, u.UserID})
			}
		}
	}
}

// tally is what all users together think of a message, in words.
func (m mirror) tally(id string) string {
	users, sums := make(map[string]int64), make(map[string]int64)
	for who, n := range m.reactions[id] {
		users[who[0]]++
		sums[who[0]] += n
	}
	var list []string
	for how, n := range users {
		list = append(list, fmt.Sprintf("%s %d times by %d", how, sums[how], n))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// tally is the same of what is in the history.
func tally(m *zim.Message) string {
	var list []string
	for _, r := range m.Reactions {
		list = append(list, fmt.Sprintf("%s %d times by %d", r.ReactionType, r.SumCount, r.TotalCount))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// says is what a message says now.
func says(m *zim.Message) string {
	if c, ok := m.Content.(*zim.RevokeMessage); ok {
		return "revoked by " + c.OperatedUserID
	}
	if c, ok := m.Content.(*zim.TextMessage); ok {
		return c.Message
	}
	return fmt.Sprintf("%T", m.Content)
}

// watch mirrors what events tell of changes.
func (p *person) watch(z *zim.ZIM) {
	told := func(what string, list []*zim.Message) {
		p.world.note(what, "%s", p.name)
		p.learn(list)
	}
	zim.On(z, func(_ context.Context, e *zim.MessageEdited) { told("told of an edit", e.MessageList) })
	zim.On(z, func(_ context.Context, e *zim.MessageRevokeReceived) { told("told of a revocation", e.MessageList) })
	zim.On(z, func(_ context.Context, e *zim.MessageReactionsChanged) {
		p.world.note("told of a reaction", "%s", p.name)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.mirror.reacted(e)
	})
}

// learn takes down messages as an event shows them.
func (p *person) learn(list []*zim.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range list {
		if m.Sender != p.name { // what this device did itself, it is not told
			p.mirror.messages[m.ID] = m
		}
	}
}

// change edits or revokes a message of the person's own, or reacts to one of somebody else.
func (p *person) change(n int) {
	p.mu.Lock()
	byID := func(a, b *zim.Message) int { return cmp.Compare(a.ID, b.ID) }
	own, others := slices.SortedFunc(slices.Values(p.sent), byID), slices.SortedFunc(maps.Values(p.mirror.messages), byID)
	z := p.current
	p.mu.Unlock()
	what := p.dice.IntN(5)
	list := own
	if what > 2 {
		list = others
	}
	if len(list) == 0 {
		return
	}
	m := list[p.dice.IntN(len(list))]
	ctx := context.Background()
	var err error
	switch what {
	case 0:
		_, err = z.RevokeMessage(ctx, m, nil)
		p.changed(m, "revoked", err, func(f *fate) { f.revoked = true })
	case 1, 2:
		text := fmt.Sprint(p.name, " says better ", n)
		_, err = z.EditMessage(ctx, m, zim.MessageEditConfig{Content: &zim.TextMessage{Message: text}})
		p.changed(m, "edited", err, func(f *fate) { f.text = text })
	case 3:
		_, err = z.AddMessageReaction(ctx, "good", m, &zim.MessageReactionAddConfig{IncreaseCount: 1 + n%2})
		p.changed(m, "reacted", err, nil)
	case 4:
		err = z.DeleteMessageAllReactions(ctx, m)
		p.changed(m, "reacted no more", err, nil)
	}
}

// changed takes down how a change ended, and what that means for the person's own message, if it is one.
func (p *person) changed(m *zim.Message, what string, err error, done func(*fate)) {
	if err != nil {
		p.world.note("changes failed", "%s %s: %v", what, m.ID, err)
	} else {
		p.world.note(what, "%s", m.ID)
	}
	if done == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.fates[m.ID]
	if f == nil {
		f = new(fate)
		p.fates[m.ID] = f
	}
	switch {
	case err == nil:
		done(f)
	case !errors.Is(err, zim.ErrMessageEditMessageFailed) && !errors.Is(err, zim.ErrMessageMessageHasBeenRevoked):
		f.unsure = true // perhaps there was no answer
	}
}

// compare holds the history, as a person has read it, against what the others have read, what events told the person, and what the person did.
func (w *world) compare(p *person, list []*zim.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range list {
		now := says(m)
		if all := now + " / " + tally(m); w.final[m.ID] == "" {
			w.final[m.ID] = all
		} else if w.final[m.ID] != all {
			w.t.Errorf("%s is shown %q as message %s of %v, somebody else %q", p.name, all, m.ID, m.Conversation, w.final[m.ID])
		}
		if known := p.mirror.messages[m.ID]; known != nil && says(known) != now {
			w.t.Errorf("%s was last told that message %s of %v says %q; it says %q", p.name, m.ID, m.Conversation, says(known), now)
		}
		_, gone := m.Content.(*zim.RevokeMessage)
		if got, want := p.mirror.tally(m.ID), tally(m); got != want && !gone && p.resets == 0 {
			w.t.Errorf("%s was last told of the reactions %q to message %s of %v; they are %q", p.name, got, m.ID, m.Conversation, want)
		}
		f := p.fates[m.ID]
		if m.Sender != p.name || f == nil {
			continue
		}
		if f.revoked && !gone || !f.unsure && (f.revoked != gone || !gone && f.text != "" && f.text != now) {
			w.t.Errorf("message %s of %v says %q after changes that led to %+v", m.ID, m.Conversation, now, *f)
		}
	}
}

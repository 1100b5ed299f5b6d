//go:build unix

package store_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/zim-go/zim/backend/store"
)

// A state is lists of what there is: the feed of each user, by the user's ID, and those below, in which some have no order.
type state map[string][]string

func (st state) add(list, format string, args ...any) {
	st[list] = append(st[list], fmt.Sprintf(format, args...))
}

// event adds an event to a feed.
func (st state) event(user, text string) { st.add(user, "%d: %s", len(st[user])+1, text) }

const (
	callbacksList = "callbacks"
	groupsList    = "groups"
	unreadList    = "unread"
	reactionsList = "reactions"
	pinsList      = "pins"
	receiptsList  = "receipts"
)

// after is the state after the first n deeds.
func (w *world) after(n int) state {
	text := make(map[*deed]string)
	for _, d := range w.done[:n] {
		switch d.kind {
		case message:
			text[d] = d.text
		case edit:
			text[d.of] = d.text
		default:
		}
	}
	st := make(state)
	seqs := make(map[string]int64) // of the last message of each conversation
	names := make(map[string]string)
	unread := make(map[string]map[string]int64) // by conversation and who is there
	reactions, pins, receipts := make(map[string]int), make(map[int64]string), make(map[string]bool)
	for _, d := range w.done[:n] {
		c := d.conversation()
		if d.of != nil {
			c = d.of.conversation()
		}
		switch d.kind {
		case message:
			if unread[c] == nil {
				unread[c] = map[string]int64{d.from: 0, d.to: 0}
			}
			seqs[c]++
			for user := range unread[c] {
				if user != d.from {
					unread[c][user]++
				}
				if user != d.from || d.group != "" {
					st.event(user, messageLine(d.from, d.id, seqs[c], text[d]))
				}
			}
			continue
		case callback:
			st.add(callbacksList, "%s", d.text)
			continue
		case reaction:
			key := atLine(d.of.place, d.to)
			reactions[key]++
			if d.off {
				delete(reactions, key)
			}
		case pin:
			pins[d.of.place] = d.to
			if d.off {
				delete(pins, d.of.place)
			}
		case reading:
			receipts[atLine(d.of.place, d.to)] = true
			if _, in := unread[c][d.to]; in {
				unread[c][d.to] = 0
			}
		case founding:
			names[d.group], unread[d.group] = d.text, map[string]int64{founder: 0}
		case entering:
			if _, in := unread[d.group][d.to]; in {
				delete(unread[d.group], d.to)
			} else {
				unread[d.group][d.to] = 0
			}
		default:
		}
		st.event(d.to, d.text)
	}
	for c, members := range unread {
		for user, n := range members {
			st.add(unreadList, unreadLine, c, user, n)
		}
	}
	for key, n := range reactions {
		st.add(reactionsList, "%s: %d", key, n)
	}
	for at, user := range pins {
		st.add(pinsList, "%s", atLine(at, user))
	}
	for key := range receipts {
		st.add(receiptsList, "%s", key)
	}
	for id, name := range names {
		st.add(groupsList, groupLine, id, name)
	}
	return st.sorted()
}

// sorted sorts what has no order.
func (st state) sorted() state {
	for list := range st {
		if !slices.Contains(users, list) && list != callbacksList {
			slices.Sort(st[list])
		}
	}
	return st
}

const (
	unreadLine = "in %s, %s has %d unread"
	groupLine  = "%s is called %s"
)

func messageLine(from string, id int, number int64, text string) string {
	return fmt.Sprintf("%s sent %d as number %d: %s", from, id, number, text)
}

func atLine(place int64, user string) string {
	return fmt.Sprintf("%d/%d by %s", place>>32, uint32(place), user)
}

// state returns the state of a store, and how many of the deeds are in it.
func (w *world) state(s *store.Store) (st state, n int) {
	w.t.Helper()
	messages, others := make(map[int]int), make(map[string]int)
	touched, groups := make(map[int64]bool), make(map[string]bool)
	for i, d := range w.done {
		if d.kind == message {
			messages[d.id] = i + 1
		} else {
			others[d.text] = i + 1
		}
		if d.of != nil {
			touched[d.of.place] = true
		}
		if d.kind == founding {
			groups[d.group] = true
		}
	}
	st = make(state)
	for _, user := range users {
		for i, e := range events(w.t, s, user, 0) {
			if int(e.Seq) != i+1 {
				w.t.Errorf("event %d of %s has the number %d", i+1, user, e.Seq)
			}
			if e.Kind == store.EventOther {
				st.event(user, string(e.Data))
				n = max(n, others[string(e.Data)])
				continue
			}
			m := e.Message
			id := int(binary.BigEndian.Uint64(m.ClientID[8:]))
			st.event(user, messageLine(m.Sender.UserID, id, m.Seq(), string(m.Content)))
			n = max(n, messages[id])
		}
	}
	view(w.t, s, func(tx *store.Tx) error {
		list, _, err := tx.DueCallbacks(app, "event", 1, 100_000, func(int64) bool { return false })
		if err != nil {
			return err
		}
		for _, c := range list {
			st.add(callbacksList, "%s", c.Body)
			n = max(n, others[string(c.Body)])
		}
		for i, a := range users {
			for _, b := range users[:i] {
				c, err := tx.FindConversation(app, store.ConversationPeer, a, b)
				if err == nil && c != nil {
					err = st.conversation(tx, c, b+a, a, b)
				}
				if err != nil {
					return err
				}
			}
		}
		for id := range groups {
			if err := st.group(tx, id); err != nil {
				return err
			}
		}
		for at := range touched {
			if err := st.message(tx, at); err != nil {
				return err
			}
		}
		return nil
	})
	return st.sorted(), n
}

// group reads what is kept of a group, if there is one.
func (st state) group(tx *store.Tx, id string) error {
	g, err := tx.Group(app, id)
	if g == nil || err != nil {
		return err
	}
	st.add(groupsList, groupLine, id, g.Name)
	members, err := tx.GroupMembers(g.Conversation, 0, 100)
	if err != nil {
		return err
	}
	var userIDs []string
	for _, m := range members {
		userIDs = append(userIDs, m.UserID)
	}
	return st.conversation(tx, g.Conversation, id, userIDs...)
}

// conversation reads what is pinned in a conversation, and what its members have not read.
func (st state) conversation(tx *store.Tx, c *store.Conversation, name string, userIDs ...string) error {
	pins, err := tx.Pins(c)
	if err != nil {
		return err
	}
	for _, p := range pins {
		st.add(pinsList, "%s", atLine(p.Place, p.UserID))
	}
	for _, id := range userIDs {
		u, err := tx.User(app, id)
		if err != nil {
			return err
		}
		m, err := tx.Member(c, u.ID)
		if err != nil {
			return err
		}
		st.add(unreadList, unreadLine, name, id, m.Unread)
	}
	return nil
}

// message reads how users have reacted to the message at a place, and who has read it.
func (st state) message(tx *store.Tx, at int64) error {
	list, _, err := tx.ReactionUsers(at, "", 0, 100)
	if err != nil {
		return err
	}
	for _, r := range list {
		st.add(reactionsList, "%s: %d", atLine(at, r.UserID), r.Count)
	}
	for _, id := range users {
		u, err := tx.User(app, id)
		if u == nil && err == nil {
			continue
		}
		if err != nil {
			return err
		}
		when, err := tx.ReadAt(at, u.ID)
		if err != nil {
			return err
		}
		if when != 0 {
			st.add(receiptsList, "%s", atLine(at, id))
		}
	}
	return nil
}

// want reports how two states differ, each list where it begins to.
func (w *world) want(what string, got, want state) {
	w.t.Helper()
	all := maps.Clone(got)
	maps.Copy(all, want)
	for _, list := range slices.Sorted(maps.Keys(all)) {
		g, x := got[list], want[list]
		for i := range max(len(g), len(x)) {
			var have, wanted string
			if i < len(g) {
				have = g[i]
			}
			if i < len(x) {
				wanted = x[i]
			}
			if have != wanted {
				w.t.Errorf("%s: %s, %d lines of %d: got %q, want %q", what, list, len(g), len(x), short(have), short(wanted))
				break
			}
		}
	}
}

func short(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

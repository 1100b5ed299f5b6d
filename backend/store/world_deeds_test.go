//go:build unix

package store_test

import (
	"fmt"
	"time"

	"github.com/zim-go/zim/backend/store"
)

// A deed is one change that a backend makes for one request. But for messages and callbacks, an event in the feed of to has its text.
type deed struct {
	kind     kind
	from, to string
	group    string // what it is about, or whom a message is to instead of to
	of       *deed  // the message that it is about
	off      bool   // it takes a reaction or a pin away
	id       int    // the client ID of a message
	text     string // different each time
	place    int64  // of a message

	begun, acked int // how long the log of the disk was
	batch        int // the same for those of one transaction
}

type kind string

const (
	message  kind = "message" // to a user or a group
	edit     kind = "edit"
	reaction kind = "reaction" // or no reaction any more
	pin      kind = "pin"      // or no pin any more
	reading  kind = "reading"  // of a message, with all that came before
	founding kind = "founding" // of a group
	entering kind = "entering" // or leaving, if the user is in the group
	callback kind = "callback"
)

var kinds = []kind{message, edit, reaction, pin, reading, founding, entering, callback}

// founder is in each group and stays there, so that somebody gets what is sent to it.
const founder = "a"

// conversation names where a message is.
func (d *deed) conversation() string {
	if d.group != "" {
		return d.group
	}
	return min(d.from, d.to) + max(d.from, d.to)
}

// any is something to do next.
func (w *world) any() *job {
	var old *deed // a message
	var groups []string
	for _, d := range w.done {
		if d.kind == founding {
			groups = append(groups, d.group)
		}
	}
	if len(w.done) > 0 {
		if old = w.done[w.rng.IntN(len(w.done))]; old.kind != message {
			old = old.of
		}
	}
	switch n := w.rng.IntN(30); {
	case n < 1:
		return w.poison()
	case n < 3:
		return w.callback()
	case n < 4 && len(groups) < 3:
		return w.found()
	case n < 6 && len(groups) > 0:
		return w.enter(groups[w.rng.IntN(len(groups))])
	case n < 9 && len(groups) > 0:
		return w.sendTo(groups[w.rng.IntN(len(groups))])
	case n >= 9 && n < 18 && old != nil:
		return []func(*deed) *job{w.again, w.again, w.edit, w.edit, w.edit, w.react, w.react, w.pin, w.read}[n-9](old)
	}
	return w.send()
}

// send is a new message to a user.
func (w *world) send() *job {
	d := &deed{kind: message, from: w.user(), to: w.user(), text: w.text()}
	for d.to == d.from {
		d.to = w.user()
	}
	return w.message(d)
}

// sendTo is a new message to a group, from a member or not.
func (w *world) sendTo(group string) *job {
	return w.message(&deed{kind: message, from: w.user(), group: group, text: w.text()})
}

func (w *world) message(d *deed) *job {
	d.id = w.ids
	return w.job(d, func(tx *store.Tx) error {
		m, again, _, err := d.put(tx)
		if err != nil {
			return err
		}
		if again {
			w.t.Errorf("message %d was there before it was sent", d.id)
		}
		d.place = m.Place
		return nil
	})
}

// put sends the message d, perhaps again.
func (d *deed) put(tx *store.Tx) (m *store.Message, again, same bool, err error) {
	if d.group == "" {
		return send(tx, d.from, d.to, d.id, d.text)
	}
	sender, err := tx.Register(app, d.from, "")
	if err != nil {
		return nil, false, false, err
	}
	g, err := tx.Group(app, d.group)
	if err != nil {
		return nil, false, false, err
	}
	m = textMessage(sender, d.id, d.text)
	if again, same, err = tx.AppendMessage(g.Conversation, m); again || err != nil {
		return m, again, same, err
	}
	members, err := tx.Roster(g.Conversation)
	for _, p := range members {
		if err == nil {
			_, err = tx.AppendEvent(p.User, store.EventMessage, m.Place, m.Time, nil)
		}
	}
	return m, false, false, err
}

// told is a job that does something on behalf of d.to, and tells that user's feed.
func (w *world) told(d *deed, do func(tx *store.Tx, u *store.User) error) *job {
	d.text = w.text()
	return w.job(d, func(tx *store.Tx) error {
		u, err := tx.Register(app, d.to, "")
		if err != nil {
			return err
		}
		if err := do(tx, u); err != nil {
			return err
		}
		ref := int64(0)
		if d.of != nil {
			ref = d.of.place
		}
		_, err = tx.AppendEvent(u, store.EventOther, ref, time.Now().UnixMilli(), []byte(d.text))
		return err
	})
}

// reader is somebody who may see a message.
func (w *world) reader(of *deed) string {
	if of.group == "" {
		return of.to
	}
	return w.user()
}

func (w *world) edit(of *deed) *job {
	d := &deed{kind: edit, to: w.reader(of), of: of}
	return w.told(d, func(tx *store.Tx, _ *store.User) error {
		m, err := tx.MessageAt(of.place)
		if err != nil {
			return err
		}
		m.Content = []byte(d.text)
		return tx.UpdateMessage(m)
	})
}

func (w *world) react(of *deed) *job {
	d := &deed{kind: reaction, to: w.user(), of: of, off: w.rng.IntN(4) == 0}
	return w.told(d, func(tx *store.Tx, u *store.User) error {
		if d.off {
			_, err := tx.Unreact(of.place, u.ID, "like")
			return err
		}
		return tx.React(of.place, u.ID, "like", 1, time.Now().UnixMilli())
	})
}

func (w *world) pin(of *deed) *job {
	d := &deed{kind: pin, to: w.user(), of: of, off: w.rng.IntN(4) == 0}
	return w.told(d, func(tx *store.Tx, _ *store.User) error {
		if d.off {
			_, err := tx.DropPin(of.place)
			return err
		}
		return tx.PutPin(store.Pin{Place: of.place, UserID: d.to, Time: time.Now().UnixMilli()})
	})
}

func (w *world) read(of *deed) *job {
	d := &deed{kind: reading, to: w.reader(of), of: of}
	return w.told(d, func(tx *store.Tx, u *store.User) error {
		m, err := tx.MessageAt(of.place)
		if err != nil {
			return err
		}
		if _, err := tx.MarkRead(of.place, u.ID, time.Now().UnixMilli()); err != nil {
			return err
		}
		member, err := tx.Member(m.Conversation, u.ID)
		if member == nil || !member.In() || err != nil {
			return err
		}
		member.Read()
		return tx.PutMember(member)
	})
}

func (w *world) found() *job {
	d := &deed{kind: founding, to: founder, group: fmt.Sprint("group", w.ids+1)}
	return w.told(d, func(tx *store.Tx, u *store.User) error {
		g := &store.Group{Name: d.text}
		if err := tx.AddGroup(app, d.group, g); err != nil {
			return err
		}
		m := &store.Member{User: u.ID, Conversation: g.Conversation}
		m.Enter()
		return tx.PutMember(m)
	})
}

// enter has somebody enter a group, or leave it.
func (w *world) enter(group string) *job {
	d := &deed{kind: entering, to: users[1+w.rng.IntN(len(users)-1)], group: group}
	return w.told(d, func(tx *store.Tx, u *store.User) error {
		g, err := tx.Group(app, group)
		if err != nil {
			return err
		}
		m, err := tx.Member(g.Conversation, u.ID)
		switch {
		case err != nil:
			return err
		case m != nil && m.In():
			m.Leave()
		default:
			if m == nil {
				m = &store.Member{User: u.ID, Conversation: g.Conversation}
			}
			m.Enter()
		}
		return tx.PutMember(m)
	})
}

func (w *world) callback() *job {
	d := &deed{kind: callback, text: w.text()}
	return w.job(d, func(tx *store.Tx) error {
		return tx.AddCallback(&store.Callback{App: app, Event: "event", Nonce: d.text, Body: []byte(d.text), Due: 1})
	})
}

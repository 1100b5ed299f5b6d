package cloud

import (
	"encoding/binary"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/wire"
)

const agedKeySize = len(key{}) + 8

// errRecords is for a log whose records make no sense together, so that it was not written by this package.
var errRecords = errors.New("its records contradict each other")

// state returns a log that has what is in the inbox, with room for the headers. What is in flight, and so in no box, is that bundle's. Rooms, and
// whoever listens, are not in it. The caller holds mu.
func (in *inbox) state(flight *bundle) []byte {
	now := time.Now()
	log := make([]byte, logHeaderSize+frameHeaderSize, logHeaderSize+frameHeaderSize+in.bytes)
	add := func(r record) { log = r.append(log) }
	event := func(b *box, seq uint64, e *wire.Event) {
		data, _ := proto.Marshal(e) // it could be encoded when it came
		add(record{kind: recordEvent, user: b.userID, n: seq, data: data})
	}
	for _, b := range in.boxes {
		add(record{kind: recordUser, user: b.userID, n: b.epoch, m: b.done})
		b.keys.expire(now)
		keys := make([]byte, 0, len(b.keys.order)*agedKeySize)
		for _, k := range b.keys.order {
			keys = binary.BigEndian.AppendUint64(append(keys, k.key[:]...), uint64(k.at.UnixMilli()))
		}
		add(record{kind: recordKeys, user: b.userID, data: keys})
		for id := range b.groups {
			add(record{kind: recordFollow, user: b.userID, id: id})
		}
		for i, w := range b.events {
			event(b, b.done+uint64(i)+1, w.event)
		}
	}
	for _, p := range flight.puts {
		event(p.box, p.seq, p.event.event)
	}
	in.replays.each(now, func(r record) { add(r) })
	return log
}

// restore does what a record says, in an inbox that nobody uses yet.
func (in *inbox) restore(r *record, now time.Time) error {
	b := in.boxes[r.user]
	switch {
	case r.kind == recordCallback:
		return in.replays.restore(r, now)
	case (b == nil) != (r.kind == recordUser):
		return errRecords
	}
	switch r.kind {
	case recordUser:
		b = in.newBox(r.user, r.n)
		b.done, b.last, b.left = r.m, r.m, now
	case recordGone:
		in.remove(b)
	case recordEvent:
		e := new(wire.Event)
		if r.n != b.last+1 || len(r.id)%len(key{}) != 0 || proto.Unmarshal(r.data, e) != nil {
			return errRecords
		}
		for id := r.id; id != ""; id = id[len(key{}):] {
			b.remember(key([]byte(id[:len(key{})])), r.m, now)
		}
		w := waiting{e, costOf(e)}
		b.bytes += w.bytes
		in.bytes += w.bytes
		b.deliver(w)
	case recordKeys:
		if len(r.data)%agedKeySize != 0 {
			return errRecords
		}
		for d := r.data; len(d) > 0; d = d[agedKeySize:] {
			b.remember(key(d[:len(key{})]), binary.BigEndian.Uint64(d[len(key{}):]), now)
		}
	case recordDone:
		if r.n < b.done || r.n > b.last {
			return errRecords
		}
		in.trim(b, r.n)
	case recordFollow:
		in.join(b, r.id)
	case recordUnfollow:
		in.part(b, r.id)
	default:
		return errRecord
	}
	return nil
}

// remember takes note of a key of an earlier time.
func (b *box) remember(k key, ms uint64, now time.Time) {
	if _, known := b.keys.values[k]; !known {
		b.keys.push(k, struct{}{}, earlier(ms, now))
	}
}

// earlier is a time in Unix milliseconds, or now if the clock was set back since.
func earlier(ms uint64, now time.Time) time.Time {
	if at := time.UnixMilli(int64(ms)); at.Before(now) {
		return at
	}
	return now
}

// callbackRecord is what is kept of a callback that was taken.
func callbackRecord(d digest, body [32]byte, answer []byte, at time.Time) record {
	return record{kind: recordCallback, id: string(d[:]) + string(body[:]), m: uint64(at.UnixMilli()), data: answer}
}

// each calls f with the records of the callbacks that were taken.
func (rs *replays) each(now time.Time, f func(record)) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.all == nil {
		return
	}
	rs.all.expire(now)
	for _, a := range rs.all.order {
		if r := rs.all.values[a.key]; r.taken {
			f(callbackRecord(a.key, r.body, r.answer, a.at))
		}
	}
}

func (rs *replays) restore(r *record, now time.Time) error {
	var d digest
	var body [32]byte
	if len(r.id) != len(d)+len(body) || len(r.data) > maxKeptAnswer {
		return errRecords
	}
	copy(body[:], r.id[copy(d[:], r.id):])
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.all == nil {
		rs.all = newRecent[digest, *replay](replayKeep, maxReplays)
	}
	at := earlier(r.m, now)
	if _, known := rs.all.values[d]; !known && now.Sub(at) < replayKeep {
		rs.all.push(d, &replay{body: body, taken: true, answer: append([]byte(nil), r.data...)}, at)
	}
	return nil
}

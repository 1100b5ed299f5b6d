package zim

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/defect"
	"github.com/zim-go/zim/wire"
)

const (
	// maxDurableBytes is what the files of a user's durable messages may have together. Each counts as outboxFileUnit at least, which
	// bounds their number.
	maxDurableBytes = 8 << 20
	outboxFileUnit  = 1 << 10
	// maxDurableAge is how long a durable message is tried. A service forgets later which messages it has.
	maxDurableAge = 24 * time.Hour
)

// durables are the durable messages of a user: those that are in files. They belong to the ZIM and the user, like the feed. One session at
// a time has them, and puts them into its lanes.
type durables struct {
	z      *ZIM
	userID string
	dir    *outboxDir
	// turn is held by whoever opens or closes the directory.
	turn chan struct{}

	mu      sync.Mutex
	session *session             // guarded by mu; who has them
	writing sync.WaitGroup       // files that are being written for session; nobody adds to it without being session
	number  uint64               // guarded by mu; of the last file
	used    int64                // guarded by mu; what the files count
	owned   map[localID]bool     // guarded by mu; messages that have not ended
	ended   map[string]int64     // guarded by mu; files of messages that have ended and wait for the handler, and what they count
	revived map[localID]struct{} // guarded by mu; messages of earlier runs
}

// A durable is the file of an outgoing message.
type durable struct {
	name     string
	size     int64     // what it counts
	created  time.Time // when it is given up, counts from here
	admitted bool      // it has its token of the rate limit
	refusals int       // guarded by the session's mu; how often the service put it off
}

// newDurables returns nil if the app wants none.
func newDurables(z *ZIM, userID string) *durables {
	if z.config.OutboxDir == "" {
		return nil
	}
	return &durables{
		z: z, userID: userID, dir: newOutboxDir(z.config.OutboxDir, z.config.AppID, userID), turn: make(chan struct{}, 1),
		owned: make(map[localID]bool), ended: make(map[string]int64), revived: make(map[localID]struct{}),
	}
}

// owns reports whether the outbox has the message, so that its caller hasn't.
func (d *durables) owns(id localID) bool {
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.owned[id]
}

// sentHere reports whether a durable message with that local ID was made by an earlier run of the program, and is sent by this one. The ID
// is empty in messages of others.
func (d *durables) sentHere(id []byte) bool {
	if d == nil || len(id) != len(localID{}) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.revived[localID(id)]
	return ok
}

// attach makes s the session that has them: from here on, nothing is written for the one before.
func (d *durables) attach(s *session) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.session = s
}

// open puts the messages that are in files into the lanes of s. It does I/O.
func (d *durables) open(s *session) *Error {
	if d == nil {
		return nil
	}
	d.turn <- struct{}{}
	defer func() { <-d.turn }()
	if !d.has(s) {
		return nil // it is over, and another one began
	}
	d.writing.Wait()
	var list []*outgoing
	err := d.dir.claim()
	if err == nil {
		list, err = d.load()
	}
	if err != nil {
		return &Error{Code: ErrDatabaseOpenDatabaseError, Message: "the outbox can't be used", Err: err}
	}
	s.mu.Lock()
	if s.why == nil {
		for _, o := range list {
			s.route(o, o.message.Time)
		}
	}
	s.mu.Unlock()
	s.giveUpOld()
	return nil
}

func (d *durables) has(s *session) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.session == s
}

// close lets others have the directory, unless another session of the ZIM has got it since.
func (d *durables) close(s *session) {
	if d == nil {
		return
	}
	d.turn <- struct{}{}
	defer func() { <-d.turn }()
	d.mu.Lock()
	mine := d.session == s
	if mine {
		d.session = nil
	}
	d.mu.Unlock()
	if mine {
		d.writing.Wait()
		d.dir.release()
	}
}

// load reads the files of messages that have not ended.
func (d *durables) load() ([]*outgoing, error) {
	d.mu.Lock()
	ended := maps.Clone(d.ended) // before the directory is read: none of a session before ends from here on
	d.mu.Unlock()
	names, err := d.dir.names()
	if err != nil {
		return nil, err
	}
	var list []*outgoing
	for _, name := range names {
		if _, ok := ended[name]; ok {
			continue
		}
		data, err := d.dir.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a ZIM that had the directory has removed it: its handler returned just now
		}
		if err != nil {
			return nil, err
		}
		o, err := revive(name, data, d.userID)
		if err != nil {
			path, e := d.dir.setAside(name)
			if e != nil {
				return nil, e
			}
			d.z.dispatch.push(&Error{Code: ErrDatabaseSeleteDatabaseError, Message: "a durable message was set aside as " + path, Err: err})
			continue
		}
		list = append(list, o)
	}
	if list, err = d.latest(list); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.owned)
	d.used = 0
	for _, size := range d.ended {
		d.used += size
	}
	for _, o := range list {
		d.used += o.durable.size
		d.owned[o.id] = true
		if !d.z.sentHere(o.id[:]) {
			d.revived[o.id] = struct{}{}
		}
	}
	if n := len(names); n > 0 {
		number, _, _ := parseOutboxFileName(names[n-1])
		d.number = max(d.number, number)
	}
	return list, nil
}

// latest leaves out and removes the files of messages that are in later ones, too: the application has sent such a message again before the
// handler returned that was told how it had ended.
func (d *durables) latest(list []*outgoing) ([]*outgoing, error) {
	seen := make(map[localID]bool)
	for i, o := range slices.Backward(list) {
		if !seen[o.id] {
			seen[o.id] = true
			continue
		}
		if err := d.dir.remove(o.durable.name); err != nil {
			return nil, err
		}
		list[i] = nil
	}
	return slices.DeleteFunc(list, func(o *outgoing) bool { return o == nil }), nil
}

// revive makes the message of a file again. It may have been sent before.
func revive(name string, data []byte, userID string) (*outgoing, error) {
	o := &outgoing{op: "SendMessage", reliable: true, shown: true, earlier: true, retry: true}
	created, err := decodeOutboxFile(data, &o.send)
	if err != nil {
		return nil, err
	}
	send := &o.send
	_, o.id, _ = parseOutboxFileName(name)
	to, kind := ConversationRef{ID: send.ConversationId, Type: ConversationType(send.ConversationType)}, MessageType(send.Type)
	if string(send.LocalMessageId) != string(o.id[:]) || !durableKind(kind, to) {
		return nil, errors.New("it is another message than its name says, or none that is durable")
	}
	if now := time.Now(); created.After(now) {
		created = now // the clock was set back
	}
	o.durable = &durable{name: name, size: durableSize(data), created: created}
	o.message = &Message{
		LocalID: o.id.String(), Sender: userID, Conversation: to, Direction: MessageDirectionSend, SentStatus: MessageSentStatusSending,
		Time: created, Priority: MessagePriority(send.Priority), ExtendedData: send.ExtendedData, Content: ownContent(kind, send.Content),
		MentionedUserIDs: send.MentionedUserIds, IsMentionAll: send.IsMentionAll, replyTo: send.ReplyTo,
	}
	if send.HasReceipt {
		o.message.ReceiptStatus = MessageReceiptStatusProcessing
	}
	o.body.SendMessage = send
	o.req.Body = &o.body
	return o, nil
}

// ownContent returns content of this user that was not acknowledged. Sent again, it is the same as before.
func ownContent(kind MessageType, data []byte) Content {
	content := decodeContent(kind, data, nil)
	items := []Content{content}
	switch c := content.(type) {
	case *MultipleMessage:
		items = c.MessageInfoList
	case *CombineMessage:
		w := new(wire.CombineContent)
		proto.Unmarshal(data, w) // decodeContent has
		for _, ref := range w.Messages {
			c.MessageList = append(c.MessageList, &Message{Conversation: conversationRef(ref.Conversation), Seq: ref.Seq})
		}
	default:
	}
	for _, item := range items {
		if f := fileOf(item); f != nil {
			f.object = f.UID
		}
	}
	return content
}

// durableKind reports whether messages of a kind to a conversation of that type may be durable.
func durableKind(kind MessageType, to ConversationRef) bool {
	peerOrGroup := to.Type == ConversationTypePeer || to.Type == ConversationTypeGroup
	return peerOrGroup && kind != MessageTypeCommand && kind != MessageTypeBarrage
}

// durableSize returns what a file counts.
func durableSize(data []byte) int64 { return max(int64(len(data)), outboxFileUnit) }

// check checks what only durable messages must be. It is called before anything of the message is opened or sent.
func (d *durables) check(op string, o *outgoing) *Error {
	m := o.message
	switch {
	case d == nil:
		return invalid(op, "a durable message needs AppConfig.OutboxDir")
	case !durableKind(m.Content.Type(), m.Conversation):
		return invalid(op, "only messages to users and groups can be durable, and no commands: the service does not keep the others")
	}
	if o.uploaded != nil {
		return nil
	}
	items := []Content{m.Content}
	if multiple, ok := m.Content.(*MultipleMessage); ok {
		items = multiple.MessageInfoList
	}
	for _, item := range items {
		if f := fileOf(item); f != nil && f.URL == "" && f.object == "" {
			return invalid(op, "a message whose file is still to be uploaded can't be durable: nobody has the file after a crash")
		}
	}
	return nil
}

// add writes o to a file. If it returns nil, the message is on the disk, and the outbox owns it.
func (d *durables) add(s *session, o *outgoing) *Error {
	data, err := encodeOutboxFile(o.message.Time, &o.send)
	if err != nil {
		return invalid(o.op, "%v", err)
	}
	f := &durable{size: durableSize(data), created: o.message.Time, admitted: true}
	d.mu.Lock()
	if d.session != s {
		d.mu.Unlock()
		return &Error{Op: o.op, Code: ErrNetworkUserIsNotLogged}
	}
	if d.owned[o.id] { // by a retry at the same time
		d.mu.Unlock()
		return notEnded(o.op)
	}
	if used := d.used; used+f.size > maxDurableBytes && !defect.On(defect.OutboxUnbounded) {
		d.mu.Unlock()
		return &Error{Op: o.op, Code: ErrDatabaseModifyDatabaseError,
			Message: fmt.Sprintf("the outbox is full: %d bytes of durable messages have not ended, or are being told, the limit is %d", used, maxDurableBytes)}
	}
	d.used += f.size
	d.number++
	f.name = outboxFileName(d.number, o.id)
	d.owned[o.id] = true
	d.writing.Add(1)
	d.mu.Unlock()
	defer d.writing.Done()
	if err := d.dir.write(f.name, data); err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.used -= f.size
		delete(d.owned, o.id)
		return &Error{Op: o.op, Code: ErrDatabaseModifyDatabaseError, Message: "the durable message could not be written", Err: err}
	}
	o.durable, o.shown = f, true
	return nil
}

func notEnded(op string) *Error {
	return invalid(op, "the message to retry is durable and has not ended: the outbox sends it again by itself")
}

// end takes note that o has ended: from here on, the outbox does not own it. The caller holds the session's mu.
func (d *durables) end(o *outgoing) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.owned, o.id)
	d.ended[o.durable.name] = o.durable.size
}

// drop removes the file of a message that has ended, after the handler has been told.
func (d *durables) drop(o *outgoing) {
	err := d.dir.remove(o.durable.name)
	if err != nil {
		d.z.dispatch.push(&Error{Code: ErrDatabaseDeleteDatabaseError, Message: "the file of a durable message that has ended can't be removed: the next run sends it again", Err: err})
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.used -= d.ended[o.durable.name]
	delete(d.ended, o.durable.name)
}

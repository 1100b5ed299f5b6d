package cloud

import (
	"fmt"
	"os"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/token"
)

// For tests of what can't be seen from outside.

func Signature(appID uint32, nonce string, secret token.Secret, timestamp int64) string {
	return signature(appID, nonce, secret, timestamp)
}

func Wrap(extended string, id []byte) string { return wrap(extended, id) }
func Unwrap(payload string) (string, []byte) { return unwrap(payload) }

type Object = object

func Parse(b []byte) (Object, error) { return parse(b) }

func (o object) Text(key string) string { return o.text(key) }
func (o object) Num(key string) int64   { return o.num(key) }
func (o object) Len(key string) int     { return len(o.objects(key)) }

func Decode(typ int32, text string) []byte { return decodeHistoric(typ, 0, text) }
func Encode(typ int32, content []byte) (string, error) {
	b, err := encode(typ, content, "uid")
	return b.text, err
}

// A KnownCode is a row of the table of return codes.
type KnownCode struct {
	Code  int64
	Name  string
	Kind  string
	ZIM   int32
	Again bool // the code says to try again
}

func Codes() (list []KnownCode) {
	names := map[kind]string{never: "no", limited: "yes", busy: "yes", fault: "cautious", failed: "cautious", expired: "resign"}
	for n, c := range codes {
		list = append(list, KnownCode{n, c.name, names[c.kind], c.zim, c.kind.passing()})
	}
	return list
}

// A KnownAction is an action that the package uses.
type KnownAction struct {
	Name         string
	Get          bool
	Rate, PerKey float64
	PerDay       int
	Counted      bool
}

func Actions() (list []KnownAction) {
	for _, a := range []*action{
		userRegister, robotRegister, modifyUserInfo, queryGroupsInfoOfUser, sendPeerMessage, sendGroupMessage, sendRoomMessage, sendMessageToAllUsers,
		importPeerMsg, importGroupMsg, editC2cMsgBody, editGroupMsgBody, revokePeerMessage, revokeGroupMessage, queryMessagesByMsgSeq, c2cReadReceipt,
		groupReadReceipt, c2cDeliveryReceipt, groupDeliveryReceipt, clearPeerMessage, clearMemberGroupMsg, queryPeerMsg, queryGroupMsg,
		queryConversationList, convPinned, silenceConvNotification, setConvMark, clearConversationUnread, deleteConv, createGroup, dismissGroup,
		inviteUsersIntoGroup, kickoutGroupUser, queryGroupInfo, modifyGroupLimit, queryGroupMemberList, queryAppGroupList, fetchForbidGroupList,
		createRoom, destroyRoom, queryRoomUserList, queryRoomMembers, kickoutRoomUser, deleteAllFriends,
	} {
		list = append(list, KnownAction{a.name, a.get, float64(a.rate), float64(a.perKey), a.perDay, a.counted != ""})
	}
	return list
}

// Buckets returns how many rates are kept.
func (s *Service) Buckets() int {
	s.calls.limits.mu.Lock()
	defer s.calls.limits.mu.Unlock()
	return len(s.calls.limits.buckets)
}

// inbox returns the Service's inbox, which must be usable.
func (s *Service) inbox() *inbox {
	in, err := s.openInbox()
	if err != nil {
		panic(err)
	}
	return in
}

// Replace has a disk's writes and syncs done by others, from the next one on; nil stands for the system's.
func (s *Service) Replace(write func(f *os.File, b []byte, at int64) (int, error), sync func(f *os.File) error) {
	l := s.inbox().log
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	l.disk = disk{(*os.File).WriteAt, (*os.File).Sync}
	if write != nil {
		l.disk.write = write
	}
	if sync != nil {
		l.disk.sync = sync
	}
}

// Flush writes what waits for the next flush.
func (s *Service) Flush() error {
	in := s.inbox()
	in.log.turn <- struct{}{}
	defer func() { <-in.log.turn }()
	return in.flush()
}

// Dump returns what a log is about, in lines.
func (s *Service) Dump() []string { return s.inbox().dump() }

// ReadLog returns what is in a log, in lines.
func ReadLog(log []byte) ([]string, error) {
	in := newInbox(new(counts))
	now := time.Now()
	err := readLog(log, func(r *record) error { return in.restore(r, now) })
	return in.dump(), err
}

// WriteAnew returns another log that has the same.
func WriteAnew(log []byte) ([]byte, error) {
	in := newInbox(new(counts))
	now := time.Now()
	if err := readLog(log, func(r *record) error { return in.restore(r, now) }); err != nil {
		return nil, err
	}
	anew := in.state(newBundle())
	sealFrame(anew[logHeaderSize:], [logMarkSize]byte{1})
	sealHeader(anew, [logMarkSize]byte{1})
	return anew, nil
}

// NewLog returns a log with one frame that a sync brought.
func NewLog(body []byte) []byte {
	log := make([]byte, logHeaderSize, logHeaderSize+frameHeaderSize+len(body))
	sealHeader(log, [logMarkSize]byte{1})
	frame := append(make([]byte, frameHeaderSize), body...)
	sealFrame(frame, [logMarkSize]byte{1})
	return append(log, frame...)
}

const (
	LogHeaderSize   = logHeaderSize
	FrameHeaderSize = frameHeaderSize
)

func (in *inbox) dump() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := time.Now()
	lines := []string{fmt.Sprintf("%d bytes", in.bytes)}
	for _, b := range in.boxes {
		lines = append(lines, fmt.Sprintf("%q: epoch %d, done %d, last %d, pending %d, %d bytes", b.userID, b.epoch, b.done, b.last, b.pending, b.bytes))
		for i, w := range b.events {
			data, err := proto.MarshalOptions{Deterministic: true}.Marshal(w.event)
			lines = append(lines, fmt.Sprintf("%q: event %d: %x %v", b.userID, i, data, err))
		}
		b.keys.expire(now)
		for k := range b.keys.values {
			lines = append(lines, fmt.Sprintf("%q: key %x", b.userID, k))
		}
		for id := range b.groups {
			lines = append(lines, fmt.Sprintf("%q: in %q, which has it: %v", b.userID, id, in.groups[id][b]))
		}
	}
	in.replays.each(now, func(r record) { lines = append(lines, fmt.Sprintf("callback %x: %q", r.id, r.data)) })
	slices.Sort(lines)
	return lines
}

// Take takes a callback, and calls between before it is kept.
func (s *Service) Take(body string, between func()) error {
	f, err := parseCallback([]byte(body))
	if err != nil {
		return err
	}
	c := &callback{fields: f, s: s, in: s.inbox(), now: time.Now()}
	err = c.take()
	between()
	return c.keep(digest{1}, [32]byte{}, nil, err)
}

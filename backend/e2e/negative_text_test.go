package e2e_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/wire"
)

// requestsOf returns a request of each kind that a user may make, with text in every field that is text, in however deep a message, and
// numbers that mean something in most places: the first message, one that is kept, one of anything.
func requestsOf(t *testing.T, text string, round int) (list []*wire.Request) {
	t.Helper()
	content, err := proto.Marshal(&wire.TextContent{Message: text})
	if err != nil {
		t.Fatal(err)
	}
	var fill func(m protoreflect.Message, depth int)
	value := func(m protoreflect.Message, fd protoreflect.FieldDescriptor, depth int) (v protoreflect.Value, ok bool) {
		switch fd.Kind() {
		case protoreflect.StringKind:
			return protoreflect.ValueOfString(text), true
		case protoreflect.BytesKind:
			if fd.Name() == "content" {
				return protoreflect.ValueOfBytes(content), true
			}
			return protoreflect.ValueOfBytes(binary.BigEndian.AppendUint64(make([]byte, 8), uint64(round))), true
		case protoreflect.Int32Kind:
			if fd.Name() == "conversation_type" || fd.FullName() == "zim.wire.v1.ConversationRef.type" {
				return protoreflect.ValueOfInt32(int32(2 - round%3)), true // a group, a room, a user
			}
			return protoreflect.ValueOfInt32(1), true
		case protoreflect.Int64Kind:
			return protoreflect.ValueOfInt64(1), true
		case protoreflect.EnumKind:
			return protoreflect.ValueOfEnum(1), true
		case protoreflect.MessageKind:
			if depth > 4 || fd.IsMap() {
				return v, false
			}
			if fd.IsList() {
				v = m.NewField(fd).List().NewElement()
			} else {
				v = m.NewField(fd)
			}
			fill(v.Message(), depth+1)
			return v, true
		default:
			return v, false
		}
	}
	fill = func(m protoreflect.Message, depth int) {
		for i := range m.Descriptor().Fields().Len() {
			fd := m.Descriptor().Fields().Get(i)
			switch name := fd.Name(); {
			case name == "reply_to" && round < 3, name == "max_members", name == "leave":
				continue // there is nothing to reply to yet; a group of one is full; and nobody enters the room that is left
			}
			if fd.ContainingOneof() != nil && m.WhichOneof(fd.ContainingOneof()) != nil {
				continue
			}
			v, ok := value(m, fd, depth)
			switch {
			case !ok:
			case fd.IsList():
				l := m.NewField(fd).List()
				l.Append(v)
				m.Set(fd, protoreflect.ValueOfList(l))
			default:
				m.Set(fd, v)
			}
		}
	}
	fields := (*wire.Request)(nil).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	for i := range fields.Len() {
		req := new(wire.Request)
		fd := fields.Get(i)
		if name := fd.Name(); name == "logout" || name == "sync" || name == "heartbeat" {
			continue // they say where the client is, and have no text
		} else if (name == "revoke_message" || name == "delete_messages") && round < 3 {
			continue // there would be nothing left
		}
		v := req.ProtoReflect().NewField(fd)
		fill(v.Message(), 0)
		req.ProtoReflect().Set(fd, v)
		if upload := req.GetUpload(); upload != nil {
			upload.Type = 12
		}
		list = append(list, req)
	}
	return list
}

// texts counts the fields in m, however deep, that are exactly text.
func texts(m protoreflect.Message, text string) (n int) {
	one := func(fd protoreflect.FieldDescriptor, v protoreflect.Value) {
		switch {
		case fd.Kind() == protoreflect.StringKind && v.String() == text:
			n++
		case fd.Kind() == protoreflect.MessageKind:
			n += texts(v.Message(), text)
		}
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
		case fd.IsList():
			for i := range v.List().Len() {
				one(fd, v.List().Get(i))
			}
		default:
			one(fd, v)
		}
		return true
	})
	return n
}

// answersTo returns what a backend makes of such requests, in short, and how often it gives the text back.
func answersTo(t *testing.T, text string) (answers []string, given int) {
	t.Helper()
	hostile(t, zimtest.Options{App: boundless}, func(t *testing.T, h *host) {
		h.srv.Register("alice", "bob")
		if validUserID(text) {
			h.srv.Register(text)
		}
		c := h.login(t, "alice")
		for round := range 6 { // the later ones find what the earlier ones made
			for _, req := range requestsOf(t, text, round) {
				c.id++
				c.send(delimited(&wire.Frame{Id: c.id, Request: req}))
				resp := c.answer(c.id)
				if resp == nil {
					t.Fatalf("%q: the connection was closed after %T", text, req.Body)
				}
				answers = append(answers, fmt.Sprintf("round %d: %T: %T, error %d", round, req.Body, resp.Body, resp.GetError().GetCode()))
				given += texts(resp.ProtoReflect(), text)
			}
		}
	})
	return answers, given
}

func validUserID(id string) bool { return !strings.ContainsAny(id, "'\" *\x00\\") }

// N99: text that is SQL in every field of every request is what other text would be. The one that it is compared with is as long, and
// an ID if it is one.
func TestNegativeTextEverywhere(t *testing.T) {
	for nasty, plain := range map[string]string{
		"x);--":                        "xabcd",
		"%_%":                          "abc",
		"?1:a@b$c":                     "abcdefgh",
		"'; DROP TABLE message; --":    "* abcd efghi jklmnop q rs",
		`" OR ""="`:                    `* ab cdef`,
		"Robert'); DELETE FROM u; --":  "Roberta * abcdef ghij k l m",
		"\\x27 UNION SELECT * FROM me": "*abcd efghi jklmno p qrst u",
	} {
		t.Run("N99/"+nasty, func(t *testing.T) {
			if len(nasty) != len(plain) {
				t.Fatalf("%d bytes are compared with %d", len(nasty), len(plain))
			}
			got, given := answersTo(t, nasty)
			want, wantGiven := answersTo(t, plain)
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("got  %s\nwant %s", got[i], want[i])
				}
			}
			if given != wantGiven {
				t.Errorf("the text came back %d times, other text %d times", given, wantGiven)
			}
			if validUserID(nasty) && given < 50 {
				t.Errorf("the text came back %d times: the requests ask for too little", given)
			}
		})
	}
}

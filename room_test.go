package zim_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/faketransport"
	"github.com/zim-go/zim/wire"
)

// inRoom logs c in and lets it enter a room of a service that answers resumptions with resume. It returns what the handlers for
// rooms see.
func inRoom(t *testing.T, c *client, resume func(*wire.EnterRoomRequest) *wire.EnterRoomResponse) *[]string {
	t.Helper()
	seen := new([]string)
	zim.On(c.ZIM, func(_ context.Context, e *zim.RoomStateChanged) {
		*seen = append(*seen, fmt.Sprintf("%d,%d", e.State, e.Event))
	})
	zim.On(c.ZIM, func(_ context.Context, e *zim.RoomMemberJoined) { *seen = append(*seen, "+"+e.MemberList[0].UserID) })
	zim.On(c.ZIM, func(_ context.Context, e *zim.RoomMessageReceived) {
		for _, m := range e.Messages {
			*seen = append(*seen, fmt.Sprint("message ", m.Seq))
		}
	})
	zim.On(c.ZIM, func(_ context.Context, e *zim.EventsDropped) { *seen = append(*seen, fmt.Sprint("dropped ", e.Count)) })
	c.ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
		enter := req.GetEnterRoom()
		if enter == nil {
			return c.ft.Answer(req)
		}
		resp := &wire.EnterRoomResponse{Room: enter.Room, Last: 10, Entry: 100}
		if enter.Mode == wire.EnterRoomMode_ENTER_ROOM_MODE_RESUME {
			resp = resume(enter)
		}
		return &wire.Response{Body: &wire.Response_EnterRoom{EnterRoom: resp}}
	})
	c.login(t)
	if _, err := c.EnterRoom(t.Context(), zim.RoomInfo{RoomID: "r"}, nil); err != nil {
		t.Fatal(err)
	}
	equal(t, "the entry", seen, []string{"1,6", "2,0"})
	*seen = nil
	return seen
}

func roomMessage(id, seq int64) *wire.Message {
	return &wire.Message{MessageId: id, MessageSeq: seq, ConversationType: 1, ConversationId: "r", SenderUserId: "bob", Type: 1, Content: []byte("\n\x02hi")}
}

func roomMessages(list ...*wire.Message) *wire.Push { return &wire.Push{Transient: list} }

func resumptions(ft *faketransport.Transport) (n int) {
	for _, req := range ft.Requests() {
		if req.GetEnterRoom().GetMode() == wire.EnterRoomMode_ENTER_ROOM_MODE_RESUME {
			n++
		}
	}
	return n
}

// What is late from an earlier stay in the room, or from a room of the same name, is not about this one.
func TestLateNewsOfARoom(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		seen := inRoom(t, c, func(*wire.EnterRoomRequest) *wire.EnterRoomResponse {
			return &wire.EnterRoomResponse{Last: 10, Entry: 100}
		})
		joined := []*wire.UserInfo{{UserId: "bob"}}
		c.ft.PushRaw(&wire.Push{Room: &wire.RoomChange{RoomId: "r", Number: 99, Ended: 8}})
		c.ft.PushRaw(&wire.Push{Room: &wire.RoomChange{RoomId: "r", Number: 98, Joined: joined}})
		c.ft.PushRaw(roomMessages(roomMessage(97, 11), roomMessage(96, 0), roomMessage(101, 10)))
		c.ft.PushRaw(&wire.Push{Room: &wire.RoomChange{RoomId: "another", Number: 200, Joined: joined}})
		equal(t, "late news", seen, nil)
		c.ft.PushRaw(&wire.Push{Room: &wire.RoomChange{RoomId: "r", Number: 102, Joined: joined}})
		c.ft.PushRaw(roomMessages(roomMessage(103, 11), roomMessage(104, 0), roomMessage(105, 12), roomMessage(105, 12)))
		c.ft.PushRaw(&wire.Push{Room: &wire.RoomChange{RoomId: "r", Number: 106, Ended: 8}})
		c.ft.PushRaw(roomMessages(roomMessage(107, 13)))
		equal(t, "news", seen, []string{"+bob", "message 11", "message 0", "message 12", "0,8"})
		if n := resumptions(c.ft); n != 0 {
			t.Errorf("%d questions", n)
		}
	})
}

// A hole is asked about once, whatever comes meanwhile, and what the service has no more is told.
func TestHolesInARoom(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		var after []int64
		seen := inRoom(t, c, func(req *wire.EnterRoomRequest) *wire.EnterRoomResponse {
			after = append(after, req.After)
			resp := &wire.EnterRoomResponse{Last: 30, Entry: 100}
			for seq := max(req.After+1, 20); seq <= 30 && len(resp.Missed) < 6; seq++ {
				resp.Missed = append(resp.Missed, roomMessage(200+seq, seq))
			}
			return resp
		})
		c.ft.PushRaw(roomMessages(roomMessage(229, 29), roomMessage(230, 30), roomMessage(228, 28)))
		var want []string
		for seq := 20; seq <= 30; seq++ {
			want = append(want, fmt.Sprint("message ", seq))
		}
		synctest.Wait()
		// EventsDropped comes behind what was queued, which is one answer or two.
		if i := slices.Index(*seen, "dropped 9"); i < 0 {
			t.Errorf("nothing tells what was dropped: %v", *seen)
		} else {
			*seen = slices.Delete(*seen, i, i+1)
		}
		equal(t, "messages", seen, want)
		if fmt.Sprint(after) != "[10 25]" {
			t.Errorf("asked behind %v", after)
		}
	})
}

// A service that claims messages of a room that it does not have does not keep the client busy.
func TestServiceClaimsRoomMessages(t *testing.T) {
	for name, answer := range map[string]*wire.EnterRoomResponse{
		"none":         {Last: 10, Entry: 100},
		"nothing":      {},
		"old ones":     {Last: 1 << 40, Missed: []*wire.Message{roomMessage(101, 3)}},
		"the past":     {Last: -5, Missed: []*wire.Message{roomMessage(101, -3)}},
		"never enough": {Last: 1 << 40, Missed: []*wire.Message{roomMessage(101, 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			with(t, func(t *testing.T, c *client) {
				seen := inRoom(t, c, func(*wire.EnterRoomRequest) *wire.EnterRoomResponse { return answer })
				c.ft.PushRaw(roomMessages(roomMessage(150, 1<<50)))
				time.Sleep(time.Minute)
				equal(t, "messages", seen, nil)
				if n := resumptions(c.ft); n == 0 || n > 10 {
					t.Errorf("%d questions", n)
				}
				c.ft.PushRaw(roomMessages(roomMessage(151, 11)))
				equal(t, "the next message", seen, []string{"message 11"})
			})
		})
	}
}

// What floods a room that is being entered is bounded, and no number of ends is more than one.
func TestFloodBeforeTheEntry(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		seen := inRoom(t, c, func(*wire.EnterRoomRequest) *wire.EnterRoomResponse { return &wire.EnterRoomResponse{} })
		var conn *faketransport.Conn
		var held *wire.Request
		c.ft.OnRequest(func(on *faketransport.Conn, req *wire.Request) *wire.Response {
			if req.GetEnterRoom() == nil {
				return c.ft.Answer(req)
			}
			conn, held = on, req
			return nil
		})
		result := make(chan error)
		go func() {
			_, err := c.EnterRoom(t.Context(), zim.RoomInfo{RoomID: "s"}, nil)
			result <- err
		}()
		synctest.Wait()
		for i := range int64(1000) {
			m := roomMessage(200+i, 0)
			m.ConversationId = "s"
			c.ft.PushRaw(roomMessages(m))
		}
		for range 1000 {
			c.ft.PushRaw(&wire.Push{Room: &wire.RoomChange{RoomId: "s", Number: 5000, Ended: 3}})
		}
		synctest.Wait()
		conn.Reply(held, &wire.Response{Body: &wire.Response_EnterRoom{EnterRoom: &wire.EnterRoomResponse{Entry: 100}}})
		if err := <-result; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		dropped := 0
		got := slices.DeleteFunc(*seen, func(what string) bool {
			n := 0
			fmt.Sscanf(what, "dropped %d", &n)
			dropped += n
			return n > 0
		})
		if len(got) != 259 || got[0] != "1,6" || got[1] != "2,0" || got[258] != "0,3" || dropped != 744 {
			t.Errorf("dropped %d, saw %d things: %v", dropped, len(got), got)
		}
	})
}

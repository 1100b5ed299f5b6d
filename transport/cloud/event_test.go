package cloud_test

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
)

// A second send_msg with other content is an edit, and one with the same is none; bot_msg may tell the same.
func TestEditsAndTwins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		bob := arrive(t, s, "bob")
		hi := hello(1, "hi")
		must(t, s, signed("bot_msg", hi), http.StatusOK)
		must(t, s, signed("send_msg", hi.with("source", 0)), http.StatusOK)
		bob.saw(t, "peer alice 1/alice:hi")
		must(t, s, signed("send_msg", hi.with("msg_body", "ho")), http.StatusOK)
		must(t, s, signed("bot_msg", hi.with("msg_body", "ho")), http.StatusOK)
		must(t, s, signed("send_msg", hi), http.StatusOK) // late, and signed anew
		bob.saw(t, "edited 1/alice:ho")
		must(t, s, signed("send_msg", hi.with("payload", "more")), http.StatusOK)
		bob.saw(t, "edited 1/alice:hi")
		// Bob's own, and those that are for others.
		must(t, s, signed("send_msg", hello(2, "mine").with("from_user_id", "bob").with("conv_id", "alice")), http.StatusOK)
		must(t, s, signed("send_msg", hello(3, "to carol").with("conv_id", "carol")), http.StatusOK)
		bob.saw(t)
	})
}

// Media are in another shape if they came over the Server API.
func TestCallbackContents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		bob := arrive(t, s, "bob")
		var got *zim.Message
		zim.On(bob.ZIM, func(_ context.Context, e *zim.PeerMessageReceived) { got = e.Messages[0] })
		client := object{
			"download_url": "https://f/a%20b", "file_name": "a.png", "file_size": "12", "media_duration": "7", "origin_image_width": 3,
			"origin_image_height":    4,
			"thumbnail_download_url": "https://f/t", "thumbnail_width": 1, "thumbnail_height": 2,
			"video_first_frame_download_url": "https://f/v", "video_first_frame_width": 5,
		}.json()
		server := object{
			"Uid": "u", "Url": "https://f/a%20b", "FileName": "a.png", "Size": 12, "MediaDuration": 7, "Origin": object{"Url": "https://f/o",
				"Width": 3, "Height": 4},
			"Thumbnail": object{"Url": "https://f/t", "Width": 1, "Height": 2},
		}.json()
		id := 0
		receive := func(typ int, body string) zim.Content {
			t.Helper()
			id++
			got = nil
			must(t, s, signed("send_msg", hello(id, body).with("msg_type", typ).with("sub_msg_type", 5)), http.StatusOK)
			synctest.Wait()
			if got == nil {
				t.Fatalf("type %d: nothing came", typ)
			}
			return got.Content
		}
		for _, body := range []string{client, url.QueryEscape(client), server} {
			image := receive(11, body).(*zim.ImageMessage)
			if image.URL != "https://f/a%20b" || image.Name != "a.png" || image.Size != 12 || image.OriginalImageSize.Y != 4 || image.ThumbnailSize.X != 1 ||
				image.ThumbnailDownloadUrl != "https://f/t" {
				t.Errorf("got %+v from %s", image, body)
			}
			if file := receive(12, body).(*zim.FileMessage); file.Size != 12 {
				t.Errorf("got %+v from %s", file, body)
			}
			if audio := receive(13, body).(*zim.AudioMessage); audio.AudioDuration != 7*time.Second {
				t.Errorf("got %+v from %s", audio, body)
			}
			if video := receive(14, body).(*zim.VideoMessage); video.VideoDuration != 7*time.Second || video.VideoFirstFrameSize.X == 0 {
				t.Errorf("got %+v from %s", video, body)
			}
		}
		if image := receive(11, `{"Origin":{"Url":"https://f/o"}}`).(*zim.ImageMessage); image.URL != "https://f/o" {
			t.Errorf("got %+v, want the original's URL", image)
		}
		for _, body := range []string{
			`{"multi_msg":[{"msg_type":1,"callback_content":"%41+"},{"msg_type":200,"sub_msg_type":3,"callback_content":"c"},{"msg_type":12,"callback_content":` + client + `}]}`,
			`{"MultiMsg":[{"MsgType":1,"Msg":"%41+"},{"MsgType":200,"SubMsgType":3,"Msg":"c"},{"MsgType":12,"Msg":` + quote(server) + `}]}`,
		} {
			list := receive(10, body).(*zim.MultipleMessage).MessageInfoList
			if len(list) != 3 || list[0].(*zim.TextMessage).Message != "%41+" || list[1].(*zim.CustomMessage).SubType != 3 ||
				list[2].(*zim.FileMessage).Size != 12 {
				t.Errorf("got %+v from %s", list, body)
			}
		}
		if c := receive(100, `{"Title":"t","Summary":"s"}`).(*zim.CombineMessage); c.Title != "t" || c.Summary != "s" {
			t.Errorf("got %+v", c)
		}
		if c := receive(200, "%7B+").(*zim.CustomMessage); c.Message != "%7B+" || c.SubType != 5 {
			t.Errorf("got %+v", c)
		}
		if c := receive(300, "new").(*zim.UnknownMessage); c.Kind != 300 || string(c.Data) != "new" {
			t.Errorf("got %+v", c)
		}
		must(t, s, signed("send_msg", hello(99, "x").with("msg_type", 31)), http.StatusOK)
		if n := s.CallbackCounts().Unhandled["send_msg"]; n != 1 {
			t.Errorf("got %d messages without a counterpart, want 1", n)
		}
	})
}

func quote(s string) string { b := object{"": s}.json(); return b[len(`{"":`) : len(b)-1] }

// Times, numbers and the sender's kind are the message's own.
func TestCallbackMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		bob := arrive(t, s, "bob")
		var got *zim.Message
		zim.On(bob.ZIM, func(_ context.Context, e *zim.PeerMessageReceived) { got = e.Messages[0] })
		must(t, s, signed("send_msg", hello(7, "hi").with("msg_id", "1234567890123456789").with("msg_time", 1_699_999_999_123).with("source",
			1).with("payload", "p")), http.StatusOK)
		synctest.Wait()
		if got == nil || got.ID != "1234567890123456789" || got.Seq != 7 || got.Time.UnixMilli() != 1_699_999_999_123 ||
			!got.IsServerMessage || got.ExtendedData != "p" ||
			got.Direction != zim.MessageDirectionReceive || got.Conversation != zim.Peer("alice") {
			t.Errorf("got %+v", got)
		}
		first := got.OrderKey
		must(t, s, signed("send_msg", hello(8, "ho").with("msg_time", 1_699_999_999_123)), http.StatusOK)
		synctest.Wait()
		if got.OrderKey <= first {
			t.Errorf("the order keys are %d and %d, want them to grow", first, got.OrderKey)
		}
	})
}

// Who is in a group is known from what the callbacks tell, and from what the Conn has found out.
func TestGroupCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		alice, bob := arrive(t, s, "alice"), arrive(t, s, "bob")
		in := func(id int, group string) object { return hello(id, "hi").with("conv_type", 2).with("conv_id", group) }
		must(t, s, signed("send_msg", in(1, "g")), http.StatusOK)
		bob.saw(t)
		must(t, s, signed("group_create", object{
			"group_id": "g", "operator_account": "alice", "owner_account": "alice", "group_name": "G", "user_ids": []string{"carol"},
		}), http.StatusOK)
		alice.saw(t, `group g: Enter Created by "alice"`, `group g members: [alice carol] Enter Invited by "alice"`)
		join := signed("Apply_join_group", object{"group_id": "g", "join_type": "Invited", "operator_account": "carol", "new_user_ids": []string{"bob"}})
		again := maps.Clone(join) // told again later, when the service has to sign it anew
		again["timestamp"] = 1_700_000_200
		again["signature"] = signature(callbackSecret, "1700000200", again["nonce"].(string))
		must(t, s, join, http.StatusOK)
		must(t, s, again, http.StatusOK)
		alice.saw(t, `group g members: [bob] Enter Invited by "carol"`)
		bob.saw(t, `group g: Enter Invited by "carol"`, `group g members: [bob] Enter Invited by "carol"`)
		must(t, s, signed("send_msg", in(2, "g")), http.StatusOK)
		alice.saw(t)
		bob.saw(t, "group g 2/alice:hi")
		must(t, s, signed("group_join", object{"group_id": "g", "join_type": "Apply", "operator_account": "x",
			"new_user_ids": []string{"dave"}}), http.StatusOK)
		bob.saw(t, `group g members: [dave] Enter Joined by ""`)
		must(t, s, signed("group_exit", object{"group_id": "g", "exit_type": "Quit", "operator_account": "x",
			"exit_user_ids": []string{"dave"}}), http.StatusOK)
		bob.saw(t, `group g members: [dave] Quit Left by ""`)
		must(t, s, signed("group_exit", object{"group_id": "g", "exit_type": "Kickout", "operator_account": "alice",
			"exit_user_ids": []string{"bob"}}), http.StatusOK)
		bob.saw(t, `group g: Quit KickedOut by "alice"`, `group g members: [bob] Quit KickedOut by "alice"`)
		again["timestamp"] = 1_700_000_100
		again["signature"] = signature(callbackSecret, "1700000100", again["nonce"].(string))
		must(t, s, again, http.StatusOK) // very late
		must(t, s, signed("send_msg", in(3, "g")), http.StatusOK)
		bob.saw(t)
		// Who comes, goes and comes again within a second is there.
		for _, event := range []string{"group_join", "group_exit", "group_join"} {
			must(t, s, signed(event, object{"group_id": "g", "join_type": "Apply", "exit_type": "Quit", "operator_account": "", "new_user_ids": []string{"bob"},
				"exit_user_ids": []string{"bob"}}), http.StatusOK)
		}
		bob.saw(t, `group g: Enter Joined by ""`, `group g members: [bob] Enter Joined by ""`, `group g: Quit Left by ""`, `group g members: [bob] Quit Left by ""`,
			`group g: Enter Joined by ""`, `group g members: [bob] Enter Joined by ""`)
		must(t, s, signed("send_msg", in(44, "g")), http.StatusOK)
		bob.saw(t, "group g 44/alice:hi")
		must(t, s, signed("group_destroy", object{"group_id": "g", "operator_account": "alice", "owner_account": "alice",
			"user_ids": []string{"bob"}}), http.StatusOK)
		bob.saw(t, `group g: Quit Dismissed by "alice"`)

		if _, _, err := bob.QueryGroupList(t.Context(), zim.GroupListQueryConfig{}); err != nil {
			t.Fatal(err)
		}
		must(t, s, signed("send_msg", in(4, "old")), http.StatusOK)
		bob.saw(t, "group old 4/alice:hi")
		if err := bob.LeaveGroup(t.Context(), "old"); err != nil {
			t.Fatal(err)
		}
		must(t, s, signed("send_msg", in(5, "old")), http.StatusOK)
		bob.saw(t)
	})
}

// Rooms are for those who are in them here.
func TestRoomCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		bob := arrive(t, s, "bob")
		say := func(id int) object { return hello(id, "hi").with("conv_type", 1).with("conv_id", "r") }
		must(t, s, signed("send_msg", say(1)), http.StatusOK)
		enter := func() {
			t.Helper()
			if _, err := bob.JoinRoom(t.Context(), "r"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			bob.mu.Lock()
			bob.told = nil
			bob.mu.Unlock()
		}
		enter()
		must(t, s, signed("room_enter", object{"room_id": "r", "operator_account": "alice"}), http.StatusOK)
		must(t, s, signed("room_enter", object{"room_id": "r", "operator_account": "bob"}), http.StatusOK)
		must(t, s, signed("send_msg", say(2)), http.StatusOK)
		must(t, s, signed("send_msg", say(2)), http.StatusOK)
		must(t, s, signed("send_msg", say(3).with("from_user_id", "bob")), http.StatusOK)
		must(t, s, signed("room_exit", object{"room_id": "r", "exit_type": "Quit", "operator_account": "x",
			"exit_user_ids": []string{"alice"}}), http.StatusOK)
		bob.saw(t, "room r: joined alice", "room r 2/alice:hi", "room r: left alice")
		must(t, s, signed("room_exit", object{"room_id": "r", "exit_type": "Kickout", "operator_account": "x",
			"exit_user_ids": []string{"bob"}}), http.StatusOK)
		must(t, s, signed("send_msg", say(4)), http.StatusOK)
		bob.saw(t, "room r: Disconnected KickedOut")
		enter()
		must(t, s, signed("room_destroy", object{"room_id": "r", "user_ids": []string{"bob"}, "operator_account": "x"}), http.StatusOK)
		must(t, s, signed("send_msg", say(5)), http.StatusOK)
		bob.saw(t, "room r: Disconnected RoomNotExist")
		enter()
		if n := s.InRoom("r"); n != 1 {
			t.Errorf("%d Conns are in the room, want 1", n)
		}
		bob.Destroy()
		if n := s.InRoom("r"); n != 0 {
			t.Errorf("%d Conns are in the room, want none", n)
		}
	})
}

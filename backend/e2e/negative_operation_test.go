package e2e_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/wire"
)

// everything returns all that is stored of users: conversations, messages with what belongs to them, and how many events.
func (h *host) everything(t *testing.T, userIDs ...string) string {
	t.Helper()
	var b strings.Builder
	err := h.store.View(t.Context(), func(tx *store.Tx) error {
		for _, id := range userIDs {
			u, err := tx.User(zimtest.AppID, id)
			if err != nil || u == nil {
				return fmt.Errorf("%s is %v: %w", id, u, err)
			}
			_, last, _ := tx.Feed(u)
			fmt.Fprintf(&b, "%s, %d events\n", id, last)
			list, err := tx.Conversations(u)
			if err != nil {
				return err
			}
			for _, m := range list {
				member := *m
				member.Conversation = nil
				pins, _ := tx.Pins(m.Conversation)
				fmt.Fprintf(&b, " %s %+v, pins %+v\n", m.Conversation.Name(id), member, pins)
				messages, err := tx.Messages(m, 1, math.MaxUint32, false, 1000, 1<<30)
				if err != nil {
					return err
				}
				for _, msg := range messages {
					v := *msg
					v.Conversation, v.Sender = nil, nil
					n, _, _ := tx.Readers(msg)
					users, _, _ := tx.ReactionUsers(msg.Place, "", 0, 100)
					fmt.Fprintf(&b, "  of %s: %+v, %d readers, reactions %+v\n", msg.Sender.UserID, v, n, users)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func peerRef(id string) *wire.ConversationRef { return &wire.ConversationRef{Id: id} }
func groupRef() *wire.ConversationRef         { return &wire.ConversationRef{Type: 2, Id: "g"} }

func messageRef(c *wire.ConversationRef, seq int64) *wire.MessageRef {
	return &wire.MessageRef{Conversation: c, Seq: seq}
}

// a message to the group.
func textToGroup(n int, text string) *wire.SendMessageRequest {
	m := textTo("g", n, text)
	m.ConversationType = 2
	return m
}

func boundless(a *backend.App) {
	a.Limits.SendRate, a.Limits.ChangeRate, a.Limits.QueryRate = -1, -1, -1
}

// scene is what the attacks are on. Alice and bob have three messages between them, and she has 11 with frank. Erin was in the
// group for two messages, and mallory never.
func (h *host) scene(t *testing.T) map[string]*rawConn {
	t.Helper()
	users := map[string]*rawConn{}
	for _, id := range []string{"alice", "bob", "erin", "frank", "mallory"} {
		users[id] = h.login(t, id)
	}
	must := func(id string, req proto.Message) *wire.Response {
		t.Helper()
		resp := users[id].call(req)
		if resp == nil || resp.Error != nil {
			t.Fatalf("%s: %v: got %v", id, req, resp)
		}
		return resp
	}
	asked := textTo("bob", 0, "asked")
	asked.HasReceipt = true
	must("alice", asked)
	must("alice", textTo("bob", 1, "plain"))
	must("bob", textTo("alice", 0, "of bob"))
	for n := range 11 {
		m := textTo("frank", n, "to frank")
		m.HasReceipt = true
		must("alice", m)
	}
	must("alice", &wire.CreateGroupRequest{Group: &wire.GroupInfo{GroupId: "g"}, UserIds: []string{"bob", "erin"}})
	must("alice", textToGroup(100, "one"))
	must("bob", textToGroup(101, "two"))
	must("alice", &wire.GroupUsersRequest{GroupId: "g", Action: wire.GroupUsersRequest_ACTION_KICK, UserIds: []string{"erin"}})
	must("alice", textToGroup(102, "three"))
	must("bob", &wire.ReactRequest{Message: messageRef(peerRef("alice"), 1), Type: "+1"})
	for n := range 10 {
		must("frank", &wire.PinMessageRequest{Message: messageRef(peerRef("alice"), int64(n+1)), Pin: true})
	}
	must("alice", textTo("bob", 9, "revoked"))
	must("alice", &wire.RevokeMessageRequest{Message: messageRef(peerRef("bob"), 4)})
	return users
}

// What a user may not do is refused with its code. Nothing is changed by it, and nobody is told.
func TestNegativeOperations(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	many := func(n int) (seqs []int64) {
		for i := range n {
			seqs = append(seqs, int64(i%3+1))
		}
		return seqs
	}
	ids := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprint("user", i))
		}
		return list
	}
	refs := func(n int) (list []*wire.ConversationRef) {
		for range n {
			list = append(list, peerRef("bob"))
		}
		return list
	}
	text := textTo("", 0, "new").Content
	edit := func(m *wire.MessageRef) *wire.EditMessageRequest {
		return &wire.EditMessageRequest{Message: m, Content: text}
	}
	revoke := func(m *wire.MessageRef) proto.Message { return &wire.RevokeMessageRequest{Message: m} }
	react := func(m *wire.MessageRef, typ string) proto.Message { return &wire.ReactRequest{Message: m, Type: typ} }
	pin := func(m *wire.MessageRef, on bool) proto.Message {
		return &wire.PinMessageRequest{Message: m, Pin: on, DisableAutoReplace: true}
	}
	read := func(c *wire.ConversationRef, seqs ...int64) proto.Message {
		return &wire.ReceiptsRequest{Conversation: c, Seqs: seqs, Read: true}
	}
	send := func(change func(m *wire.SendMessageRequest)) proto.Message {
		m := textTo("bob", 1000, "x")
		change(m)
		return m
	}
	content := func(typ int32, c proto.Message) func(m *wire.SendMessageRequest) {
		return func(m *wire.SendMessageRequest) {
			m.Type = typ
			m.Content, _ = proto.Marshal(c)
		}
	}
	items := func(n int, typ int32, c proto.Message) *wire.MultipleContent {
		b, _ := proto.Marshal(c)
		multiple := new(wire.MultipleContent)
		for range n {
			multiple.Items = append(multiple.Items, &wire.MultipleItem{Type: typ, Content: b})
		}
		return multiple
	}
	combine := func(refs ...*wire.MessageRef) *wire.CombineContent {
		return &wire.CombineContent{Title: "t", Summary: "s", Messages: refs}
	}
	change := func(c *wire.ChangeConversationsRequest, refs ...*wire.ConversationRef) proto.Message {
		c.Refs = refs
		return c
	}
	create := func(g *wire.GroupInfo, users ...string) proto.Message {
		g.GroupId += "new"
		return &wire.CreateGroupRequest{Group: g, UserIds: users}
	}
	users := func(action wire.GroupUsersRequest_Action, list ...string) proto.Message {
		return &wire.GroupUsersRequest{GroupId: "g", Action: action, UserIds: list}
	}
	alice, bob, group := peerRef("alice"), peerRef("bob"), groupRef()
	const (
		kick, invite = wire.GroupUsersRequest_ACTION_KICK, wire.GroupUsersRequest_ACTION_INVITE
		big          = math.MaxInt64
	)
	type attack struct {
		user string
		req  proto.Message
		code int32
	}
	attacks := map[string]attack{
		"N36/send to a foreign group":          {"mallory", textToGroup(1, "x"), 6000521},
		"N36/send after being kicked":          {"erin", textToGroup(1, "x"), 6000521},
		"N36/send to a group that is none":     {"alice", send(func(m *wire.SendMessageRequest) { m.ConversationType, m.ConversationId = 2, "none" }), 6000523},
		"N36/history of a foreign group":       {"mallory", &wire.QueryMessagesRequest{Conversation: group}, 6000521},
		"N36/numbers of a foreign group":       {"mallory", &wire.QueryMessagesRequest{Conversation: group, Seqs: []int64{1}}, 6000521},
		"N36/pins of a foreign group":          {"mallory", &wire.QueryPinnedMessagesRequest{Conversation: group}, 6000521},
		"N36/pins after being kicked":          {"erin", &wire.QueryPinnedMessagesRequest{Conversation: group}, 6000521},
		"N36/members of a foreign group":       {"mallory", &wire.QueryGroupMembersRequest{GroupId: "g"}, 6000521},
		"N36/replies of a foreign group":       {"mallory", &wire.QueryRepliedMessagesRequest{Message: messageRef(group, 1)}, 6000521},
		"N36/reactions of a foreign group":     {"mallory", &wire.QueryReactionUsersRequest{Message: messageRef(group, 1)}, 6000521},
		"N36/read in a foreign group":          {"mallory", read(group, 1), 6000521},
		"N36/delete in a foreign group":        {"mallory", &wire.DeleteMessagesRequest{Conversation: group, Seqs: []int64{1}}, 6000521},
		"N37/edit another's":                   {"bob", edit(messageRef(alice, 1)), 6000285},
		"N37/edit another's in a group":        {"alice", edit(messageRef(group, 2)), 6000285},
		"N37/edit in a foreign conversation":   {"mallory", edit(messageRef(bob, 1)), 6000204},
		"N37/edit in a foreign group":          {"mallory", edit(messageRef(group, 1)), 6000521},
		"N37/edit after being kicked":          {"erin", edit(messageRef(group, 1)), 6000521},
		"N37/edit what was revoked":            {"alice", edit(messageRef(bob, 4)), 6000205},
		"N37/edit number 0":                    {"alice", edit(messageRef(bob, 0)), 6000204},
		"N37/edit number 5":                    {"alice", edit(messageRef(bob, 5)), 6000204},
		"N37/edit number -1":                   {"alice", edit(messageRef(bob, -1)), 6000204},
		"N37/edit number 2^32+1":               {"alice", edit(messageRef(bob, 1<<32+1)), 6000204},
		"N37/edit number 2^63-1":               {"alice", edit(messageRef(bob, big)), 6000204},
		"N37/edit nothing":                     {"alice", edit(nil), 6000001},
		"N37/edit in a room":                   {"alice", edit(messageRef(&wire.ConversationRef{Type: 1, Id: "r"}, 1)), 6000001},
		"N37/edit in a type that is none":      {"alice", edit(messageRef(&wire.ConversationRef{Type: 9, Id: "bob"}, 1)), 6000001},
		"N37/edit with oneself":                {"alice", edit(messageRef(alice, 1)), 6000001},
		"N37/edit to nothing":                  {"alice", &wire.EditMessageRequest{Message: messageRef(bob, 1)}, 6000001},
		"N37/edit to 2049 bytes":               {"alice", &wire.EditMessageRequest{Message: messageRef(bob, 1), Content: textTo("", 0, x(2049)).Content}, 6000001},
		"N37/edit with 1025 bytes more":        {"alice", &wire.EditMessageRequest{Message: messageRef(bob, 1), Content: text, ExtendedData: x(1025)}, 6000001},
		"N37/edit with 51 mentions":            {"alice", &wire.EditMessageRequest{Message: messageRef(bob, 1), Content: text, MentionedUserIds: ids(51)}, 6000001},
		"N37/revoke another's":                 {"bob", revoke(messageRef(alice, 1)), 6000001},
		"N37/revoke the owner's":               {"bob", revoke(messageRef(group, 1)), 6000541},
		"N37/revoke in a foreign conversation": {"mallory", revoke(messageRef(bob, 1)), 6000204},
		"N37/revoke in a foreign group":        {"mallory", revoke(messageRef(group, 1)), 6000521},
		"N37/revoke after being kicked":        {"erin", revoke(messageRef(group, 1)), 6000521},
		"N37/revoke twice":                     {"alice", revoke(messageRef(bob, 4)), 6000279},
		"N37/revoke with 201 bytes more":       {"alice", &wire.RevokeMessageRequest{Message: messageRef(bob, 1), ExtendedData: x(201)}, 6000001},
		"N37/delete 101":                       {"alice", &wire.DeleteMessagesRequest{Conversation: bob, Seqs: many(101)}, 6000001},
		"N37/delete in a foreign conversation": {"mallory", &wire.DeleteMessagesRequest{Conversation: bob, Seqs: []int64{1}}, 0},
		"N37/delete what is not there":         {"alice", &wire.DeleteMessagesRequest{Conversation: bob, Seqs: []int64{0, -1, 99, big}}, 0},
		"N37/pin in a foreign conversation":    {"mallory", pin(messageRef(bob, 1), true), 6000204},
		"N37/pin after being kicked":           {"erin", pin(messageRef(group, 1), true), 6000521},
		"N37/pin what was revoked":             {"bob", pin(messageRef(alice, 4), true), 6000001},
		"N37/pin an eleventh":                  {"alice", pin(messageRef(peerRef("frank"), 11), true), 6000287},
		"N37/unpin what is not pinned":         {"alice", pin(messageRef(bob, 1), false), 6000208},
		"N37/react twice":                      {"bob", react(messageRef(alice, 1), "+1"), 6000280},
		"N37/react with nothing":               {"bob", react(messageRef(alice, 1), ""), 6000001},
		"N37/react with 33 bytes":              {"bob", react(messageRef(alice, 1), x(33)), 6000001},
		"N37/react -1 times":                   {"bob", &wire.ReactRequest{Message: messageRef(alice, 1), Type: "x", Increase: -1}, 6000001},
		"N37/react too often":                  {"bob", &wire.ReactRequest{Message: messageRef(alice, 1), Type: "x", Increase: 1_000_001}, 6000001},
		"N37/react to what was revoked":        {"bob", react(messageRef(alice, 4), "x"), 6000001},
		"N37/take back another's reaction":     {"alice", &wire.ReactRequest{Message: messageRef(bob, 1), Type: "+1", Remove: true}, 6000280},
		"N37/take back all of none":            {"alice", &wire.ReactRequest{Message: messageRef(bob, 1), Remove: true}, 0},
		"N37/reply in a foreign group":         {"mallory", send(func(m *wire.SendMessageRequest) { m.ConversationType, m.ConversationId, m.ReplyTo = 2, "g", 1 }), 6000521},
		"N37/reply to what is not there":       {"alice", send(func(m *wire.SendMessageRequest) { m.ReplyTo = 99 }), 6000204},
		"N37/reply to another conversation":    {"mallory", send(func(m *wire.SendMessageRequest) { m.ReplyTo = 1 }), 6000204},
		"N37/reply to what was revoked":        {"alice", send(func(m *wire.SendMessageRequest) { m.ReplyTo = 4 }), 6000001},
		"N37/reply to -1":                      {"alice", send(func(m *wire.SendMessageRequest) { m.ReplyTo = -1 }), 6000204},
		"N38/kick the owner":                   {"bob", users(kick, "alice"), 6000541},
		"N38/kick oneself":                     {"alice", users(kick, "alice"), 6000541},
		"N38/kick who is not there":            {"alice", users(kick, "erin"), 6000521},
		"N38/kick into a foreign group":        {"mallory", users(kick, "bob"), 6000521},
		"N38/invite into a foreign group":      {"mallory", users(invite, "mallory"), 6000521},
		"N38/invite after being kicked":        {"erin", users(invite, "erin"), 6000521},
		"N38/invite who is there":              {"alice", users(invite, "bob"), 6000522},
		"N38/invite nobody":                    {"alice", users(invite), 6000001},
		"N38/invite the unknown":               {"alice", users(invite, "nobody"), 6000011},
		"N38/invite 101":                       {"alice", users(invite, ids(101)...), 6000001},
		"N38/do what is unknown":               {"alice", users(99, "bob"), 6000013},
		"N38/dismiss":                          {"bob", &wire.GroupRequest{GroupId: "g", Action: wire.GroupRequest_ACTION_DISMISS}, 6000541},
		"N38/create with a long name":          {"alice", create(&wire.GroupInfo{Name: x(51)}), 6000001},
		"N38/create with a long notice":        {"alice", create(&wire.GroupInfo{Notice: x(301)}), 6000001},
		"N38/create with a long avatar":        {"alice", create(&wire.GroupInfo{AvatarUrl: x(501)}), 6000001},
		"N38/create with a long ID":            {"alice", create(&wire.GroupInfo{GroupId: x(30)}), 6000001},
		"N38/create with a reserved ID":        {"alice", create(&wire.GroupInfo{GroupId: "#"}), 6000001},
		"N38/create for 501":                   {"alice", create(&wire.GroupInfo{MaxMembers: 501}), 6000001},
		"N38/create for -1":                    {"alice", create(&wire.GroupInfo{MaxMembers: -1}), 6000001},
		"N38/create with no such mode":         {"alice", create(&wire.GroupInfo{JoinMode: 3}), 6000001},
		"N38/create with 101":                  {"alice", create(&wire.GroupInfo{}, ids(101)...), 6000001},
		"N38/create nothing":                   {"alice", &wire.CreateGroupRequest{}, 6000001},
		"N39/read 11":                          {"frank", read(alice, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11), 6000282},
		"N39/read none":                        {"bob", read(alice), 6000282},
		"N39/read what wants no receipt":       {"bob", read(alice, 2), 6000277},
		"N39/read one's own":                   {"alice", read(bob, 1), 6000277},
		"N39/read the future":                  {"bob", read(alice, 0, -1, 99, 1<<32+1, big, math.MinInt64), 6000277},
		"N39/read in a foreign conversation":   {"mallory", read(bob, 1), 6000277},
		"N39/read after being kicked":          {"erin", read(group, 1), 6000521},
		"N39/read a whole group":               {"bob", &wire.ReadConversationRequest{Conversation: group}, 6000001},
		"N39/read a whole foreign one":         {"mallory", &wire.ReadConversationRequest{Conversation: bob}, 6000603},
		"N39/members of a peer":                {"alice", &wire.QueryReceiptMembersRequest{Message: messageRef(bob, 1)}, 6000001},
		"N39/members for another's message":    {"bob", &wire.QueryReceiptMembersRequest{Message: messageRef(group, 1)}, 6000001},
		"N39/101 members":                      {"alice", &wire.QueryReceiptMembersRequest{Message: messageRef(group, 1), Count: 101}, 6000001},
		"N39/members behind -1":                {"alice", &wire.QueryReceiptMembersRequest{Message: messageRef(group, 1), Next: -1}, 6000001},
		"N41/11 numbers":                       {"alice", &wire.QueryMessagesRequest{Conversation: bob, Seqs: many(11)}, 6000001},
		"N41/101 replies":                      {"alice", &wire.QueryRepliedMessagesRequest{Message: messageRef(bob, 1), Count: 101}, 6000001},
		"N41/101 users with reactions":         {"alice", &wire.QueryReactionUsersRequest{Message: messageRef(bob, 1), Count: 101}, 6000001},
		"N41/users with reactions behind -1":   {"alice", &wire.QueryReactionUsersRequest{Message: messageRef(bob, 1), Next: -1}, 6000001},
		"N41/members behind -1":                {"alice", &wire.QueryGroupMembersRequest{GroupId: "g", Next: -1}, 6000001},
		"N41/combination that is none":         {"alice", &wire.QueryCombineMessageRequest{CombineId: "guess"}, 6000204},
		"N41/combination that is a text":       {"alice", &wire.QueryCombineMessageRequest{Message: messageRef(bob, 1)}, 6000001},
		"N41/combination of nothing":           {"alice", &wire.QueryCombineMessageRequest{}, 6000001},
		"N41/combination one can't see":        {"mallory", &wire.QueryCombineMessageRequest{Message: messageRef(group, 1)}, 6000521},
		"limits/51 mentions":                   {"alice", send(func(m *wire.SendMessageRequest) { m.MentionedUserIds = ids(51) }), 6000001},
		"limits/mention of no ID":              {"alice", send(func(m *wire.SendMessageRequest) { m.MentionedUserIds = []string{""} }), 6000001},
		"limits/21 items":                      {"alice", send(content(10, items(21, 1, &wire.TextContent{Message: "x"}))), 6000001},
		"limits/no items":                      {"alice", send(content(10, items(0, 1, nil))), 6000001},
		"limits/11 files":                      {"alice", send(content(10, items(11, 12, &wire.FileContent{File: &wire.File{Url: "u", Name: "n"}}))), 6000001},
		"limits/two custom items":              {"alice", send(content(10, items(2, 200, &wire.CustomContent{Message: "x"}))), 6000001},
		"limits/an item that is none":          {"alice", send(content(10, items(1, 2, &wire.CommandContent{Message: []byte("x")}))), 6000001},
		"limits/items in an item":              {"alice", send(content(10, items(1, 10, items(1, 1, &wire.TextContent{Message: "x"})))), 6000001},
		"limits/301 combined":                  {"alice", send(content(100, combine(slices.Repeat([]*wire.MessageRef{messageRef(bob, 1)}, 301)...))), 6000001},
		"limits/none combined":                 {"alice", send(content(100, combine())), 6000001},
		"limits/title of 21 bytes":             {"alice", send(content(100, &wire.CombineContent{Title: x(21), Summary: "s", Messages: []*wire.MessageRef{messageRef(bob, 1)}})), 6000001},
		"limits/summary of 101 bytes":          {"alice", send(content(100, &wire.CombineContent{Title: "t", Summary: x(101), Messages: []*wire.MessageRef{messageRef(bob, 1)}})), 6000001},
		"limits/combined and an ID":            {"alice", send(content(100, &wire.CombineContent{Title: "t", Summary: "s", CombineId: "x", Messages: []*wire.MessageRef{messageRef(bob, 1)}})), 6000001},
		"limits/combine by a guessed ID":       {"alice", send(content(100, &wire.CombineContent{Title: "t", Summary: "s", CombineId: "x"})), 6000204},
		"limits/combine a foreign one":         {"mallory", send(content(100, combine(messageRef(peerRef("alice"), 1)))), 6000204},
		"limits/combine of a foreign group":    {"mallory", send(content(100, combine(messageRef(group, 1)))), 6000521},
		"limits/combine after being kicked":    {"erin", send(content(100, combine(messageRef(group, 3)))), 6000521},
		"limits/combine what was revoked":      {"alice", send(content(100, combine(messageRef(bob, 1), messageRef(bob, 4)))), 6000001},
		"limits/a revocation is sent":          {"alice", send(content(31, &wire.RevokeContent{})), 6000001},
		"limits/a note is sent":                {"alice", send(content(32, &wire.TipsContent{})), 6000001},
		"limits/a kind that is unknown":        {"alice", send(content(77, &wire.TextContent{Message: "x"})), 6000013},
		"limits/a barrage to a user":           {"alice", send(content(20, &wire.TextContent{Message: "x"})), 6000001},
		"limits/101 conversations":             {"alice", change(&wire.ChangeConversationsRequest{Change: &wire.ChangeConversationsRequest_ClearUnread{}}, refs(101)...), 6000001},
		"limits/mark 0":                        {"alice", change(&wire.ChangeConversationsRequest{Change: &wire.ChangeConversationsRequest_Mark{Mark: &wire.ConversationMark{Enable: true}}}, bob), 6000001},
		"limits/mark 61":                       {"alice", change(&wire.ChangeConversationsRequest{Change: &wire.ChangeConversationsRequest_Mark{Mark: &wire.ConversationMark{Mark: 61, Enable: true}}}, bob), 6000001},
		"limits/no mark":                       {"alice", change(&wire.ChangeConversationsRequest{Change: &wire.ChangeConversationsRequest_Mark{}}, bob), 6000001},
		"limits/mark in a group left":          {"erin", change(&wire.ChangeConversationsRequest{Change: &wire.ChangeConversationsRequest_Mark{Mark: &wire.ConversationMark{Mark: 1, Enable: true}}}, group), 6000521},
		"limits/status 3":                      {"alice", change(&wire.ChangeConversationsRequest{Change: &wire.ChangeConversationsRequest_NotificationStatus{NotificationStatus: 3}}, bob), 6000001},
		"limits/pin all":                       {"alice", change(&wire.ChangeConversationsRequest{Change: &wire.ChangeConversationsRequest_Pin{Pin: true}}), 6000001},
		"limits/change nothing":                {"alice", change(&wire.ChangeConversationsRequest{}, bob), 6000013},
		"limits/pin a foreign conversation":    {"mallory", change(&wire.ChangeConversationsRequest{Change: &wire.ChangeConversationsRequest_Pin{Pin: true}}, bob), 6000603},
		"limits/pin a foreign group":           {"mallory", change(&wire.ChangeConversationsRequest{Change: &wire.ChangeConversationsRequest_Pin{Pin: true}}, group), 6000521},
		"limits/name 101 conversations":        {"alice", &wire.QueryConversationsRequest{Refs: refs(101)}, 6000001},
	}
	for _, number := range []string{"N36", "N37", "N38", "N39", "N41", "limits"} {
		t.Run(number, func(t *testing.T) {
			hostile(t, zimtest.Options{App: boundless}, func(t *testing.T, h *host) {
				conns := h.scene(t)
				all := []string{"alice", "bob", "carol", "dave", "erin", "frank", "mallory"}
				before := h.everything(t, all...)
				h.stored = h.last(t, "bob")
				events := map[string]uint32{}
				for _, id := range all {
					events[id] = h.last(t, id)
				}
				for name, attack := range attacks {
					if !strings.HasPrefix(name, number) {
						continue
					}
					resp := conns[attack.user].call(attack.req)
					if resp.GetError().GetCode() != attack.code || resp == nil {
						t.Errorf("%s: got %.200v, want the error %d", name, resp, attack.code)
					}
					if synctest.Wait(); h.last(t, "bob") != h.stored || h.last(t, attack.user) != events[attack.user] {
						t.Errorf("%s: there is another event", name)
						h.stored, events[attack.user] = h.last(t, "bob"), h.last(t, attack.user)
					}
				}
				if after := h.everything(t, all...); after != before {
					t.Errorf("something has changed:\n%s\nbefore:\n%s", after, before)
				}
			})
		})
	}
}

// N41: whatever range is asked for, an answer is a page.
func TestNegativeRanges(t *testing.T) {
	hostile(t, zimtest.Options{App: boundless}, func(t *testing.T, h *host) {
		conns := h.scene(t)
		for n := range 150 {
			conns["alice"].call(textTo("frank", 100+n, "more"))
		}
		h.stored = h.last(t, "bob")
		for _, after := range []int64{0, 1, 161, 162, -1, 1<<32 - 1, 1 << 32, math.MaxInt64, math.MinInt64} {
			for _, count := range []int32{0, -1, 1, 100, 1_000_000, math.MaxInt32, math.MinInt32} {
				for _, req := range []*wire.QueryMessagesRequest{{After: after}, {After: after, Newer: true}, {AfterOrderKey: after}, {AfterOrderKey: after, Newer: true}} {
					req.Conversation, req.Count = peerRef("alice"), count
					list := conns["frank"].call(req).GetMessages()
					if list == nil || len(list.Messages) > 100 || count == 1 && len(list.Messages) > 1 {
						t.Errorf("%v: got %d messages, want a page", req, len(list.GetMessages()))
					}
					for _, m := range list.GetMessages() {
						if m.ConversationId != "alice" || m.ConversationType != 0 {
							t.Fatalf("%v: got %v", req, m)
						}
					}
				}
				req := &wire.QueryMessagesRequest{Conversation: groupRef(), After: after, Count: count}
				for _, m := range conns["erin"].call(req).GetMessages().GetMessages() {
					if m.MessageSeq > 2 {
						t.Errorf("%v: erin, who was kicked, got %v", req, m)
					}
				}
			}
			for _, req := range []*wire.QueryGroupsRequest{{Next: after}, {Next: after, Count: 1_000_000}} {
				if resp := conns["alice"].call(req); resp.GetGroups() == nil || len(resp.GetGroups().Groups) > 1 {
					t.Errorf("%v: got %v", req, resp)
				}
			}
			page := &wire.QueryConversationsRequest{Count: math.MaxInt32, After: &wire.ConversationPlace{OrderKey: after, IsPinned: after < 0}}
			if resp := conns["mallory"].call(page); resp.GetConversations() == nil || len(resp.GetConversations().Conversations) > 0 {
				t.Errorf("%v: got %v", page, resp)
			}
		}
		if resp := conns["erin"].call(&wire.QueryMessagesRequest{Conversation: groupRef(), Seqs: []int64{1, 2, 3}}); len(resp.GetMessages().GetMessages()) != 2 {
			t.Errorf("erin, who was kicked, got %v", resp)
		}
		// N40: the places of another user's conversations, and epochs and positions that are guessed.
		for _, since := range []*wire.Position{{}, {Epoch: h.store.Epoch(), Seq: 1 << 40}, {Epoch: h.store.Epoch() + 1}, {Epoch: h.store.Epoch(), Seq: 3}} {
			if resp := conns["mallory"].call(&wire.QueryConversationsRequest{Since: since}); resp.GetConversations() == nil || len(resp.GetConversations().Conversations) > 0 {
				t.Errorf("since %v: got %v", since, resp)
			}
		}
	})
}

// N37: what is too late is refused, to the millisecond. (For edits and reactions see TestEdit and TestReactionsOfOldMessage.)
func TestNegativeLateRevoke(t *testing.T) {
	hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
		h.stored = 3 // two messages, and what was done in time
		c := h.login(t, "alice")
		c.call(textTo("bob", 0, "early"))
		time.Sleep(time.Millisecond)
		c.call(textTo("bob", 1, "late"))
		time.Sleep(2*time.Minute - time.Second)
		c = h.login(t, "alice")
		time.Sleep(time.Second)
		c.wantRefused(&wire.RevokeMessageRequest{Message: messageRef(peerRef("bob"), 1)}, 6000278)
		if resp := c.call(&wire.RevokeMessageRequest{Message: messageRef(peerRef("bob"), 2)}); resp.GetMessage().GetType() != 31 {
			t.Errorf("in time: got %v", resp)
		}
	})
}

package restapi

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/internal/apicode"
	"github.com/zim-go/zim/backend/internal/msgbody"
	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/wire"
)

// The documented types of conversations.
const convPeer, convRoom, convGroup = 0, 1, 2

// A sending is what all requests to send have in common.
type sending struct {
	MessageType, Priority, SubMsgType int64
	SearchedContent                   string
	MessageBody                       messageBody
	IsBase64                          int64
	SenderUnaware                     *int64
	SendMsgOptions                    struct {
		NoUnread     bool
		TargetOption *struct{}
	}
}

type messageBody struct {
	Message, ExtendedData string
	HasReceipt, IsBase64  int64
	OfflinePush           struct {
		Enable, BadgeIncrement   int64
		Title, Content, Payload  string
		EnableBadge              bool
		ThreadId, PushStrategyId string
		PrivateMessageTemplate   struct{ TemplateId, TitleParameters, ContentParameters string }
	}
}

// request makes the message for one conversation.
func (c *call) request(in *sending, convType int32, convID string) (*wire.SendMessageRequest, *failure) {
	body := &in.MessageBody
	text, f := plain(body.Message, in.MessageType == msgtype.Command && (in.IsBase64 == 1 || body.IsBase64 == 1))
	if f != nil {
		return nil, f
	}
	limits, _ := c.server().Limits(c.app)
	limit := sizeLimit(&limits, in.MessageType)
	switch {
	case text == "":
		return nil, badInput("the Message is missing")
	case len(text) > limit:
		return nil, fail(apicode.MessageTooBig, "the Message has "+strconv.Itoa(len(text))+" bytes, the limit is "+strconv.Itoa(limit))
	case in.MessageType == msgtype.Barrage && convType != convRoom:
		return nil, badInput("barrages are for rooms")
	case in.SendMsgOptions.TargetOption != nil:
		return nil, badInput("the server knows no messages to a part of a group")
	case convType == convRoom && body.HasReceipt != 0:
		return nil, fail(apicode.RoomReceipt, "messages in rooms have no receipts")
	case in.Priority < 1 || in.Priority > 3:
		return nil, badInput("the Priority is 1, 2 or 3")
	}
	content, f := encode(in.MessageType, in.SubMsgType, text, in.SearchedContent)
	if f != nil {
		return nil, f
	}
	return &wire.SendMessageRequest{
		LocalMessageId: newLocalID(), ConversationType: convType, ConversationId: convID,
		Type: int32(in.MessageType), Content: content, ExtendedData: body.ExtendedData, Priority: int32(in.Priority),
		HasReceipt: body.HasReceipt == 1, DisableUnreadMessageCount: in.SendMsgOptions.NoUnread, PushConfig: body.push(),
	}, nil
}

// sizeLimit returns how many bytes the Message of a type may have.
func sizeLimit(l *backend.Limits, typ int64) int {
	switch typ {
	case msgtype.Command:
		return l.CommandSize
	case msgtype.Barrage:
		return l.BarrageSize
	case msgtype.Custom:
		return l.CustomSize
	case msgtype.Multiple:
		return max(l.TextSize, maxMultiple)
	}
	return l.TextSize
}

// newLocalID makes the ID of a message. It begins with the time, so that later ones sort behind earlier ones, as those of clients do.
func newLocalID() []byte {
	var id [16]byte
	rand.Read(id[6:])
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(time.Now().UnixMilli()))
	copy(id[:6], ms[2:])
	return id[:]
}

func (b *messageBody) push() *wire.PushConfig {
	p := &b.OfflinePush
	if p.Enable != 1 {
		return nil
	}
	w := &wire.PushConfig{
		Title: p.Title, Content: p.Content, Payload: p.Payload, ResourcesId: p.PushStrategyId, ThreadId: p.ThreadId,
		EnableBadge: p.EnableBadge, BadgeIncrement: int32(min(max(p.BadgeIncrement, 0), 99)),
	}
	if t := p.PrivateMessageTemplate; t.TemplateId != "" {
		w.PrivateMessageTemplate = &wire.PrivateMessageTemplate{
			TemplateId: t.TemplateId, TitleParameters: t.TitleParameters, ContentParameters: t.ContentParameters,
		}
	}
	return w
}

// unaware reports whether the sender's own devices are left out. standard is the default, which differs.
func (in *sending) unaware(standard bool) bool {
	if in.SenderUnaware == nil {
		return standard
	}
	return *in.SenderUnaware == 1
}

func send(req *wire.SendMessageRequest) *wire.Request {
	return &wire.Request{Body: &wire.Request_SendMessage{SendMessage: req}}
}

// An auditInfo is why moderation rejected something. There is none, but the list is always there.
type auditInfo struct {
	Index  int
	Reason string
}

type sendPeerIn struct {
	FromUserId string   `zim:"needed,user"`
	ToUserId   []string `zim:"needed,max=100,user"`
	sending
}

type sentOut struct {
	UserId, MsgId string
	MsgSeq        int64 `json:",omitempty"`
}

type sendPeerOut struct {
	ErrorList  []userError
	SuccList   []sentOut
	AuditInfos []auditInfo
}

// sendPeerMessage sends one message to each of the receivers. If the list is wrong, nobody gets it.
func sendPeerMessage(c *call, in *sendPeerIn) (any, *failure) {
	if slices.Contains(in.ToUserId, in.FromUserId) {
		return nil, badInput("the receivers have the sender among them")
	}
	if sorted := slices.Sorted(slices.Values(in.ToUserId)); len(slices.Compact(sorted)) < len(in.ToUserId) {
		return nil, badInput("a receiver comes twice")
	}
	acts := make([]backend.Act, len(in.ToUserId))
	for i, to := range in.ToUserId {
		req, f := c.request(&in.sending, convPeer, to)
		if f != nil {
			return nil, f
		}
		acts[i] = backend.Act{App: c.app, UserID: in.FromUserId, Request: send(req), Said: in.MessageBody.Message, Unaware: in.unaware(false)}
	}
	if f := c.actors(apicode.Actor, in.FromUserId); f != nil {
		return nil, f
	}
	out := sendPeerOut{[]userError{}, []sentOut{}, []auditInfo{}}
	for i, resp := range c.server().DoAll(c.ctx, acts) {
		to := in.ToUserId[i]
		if resp.Error != nil {
			f := failed(resp.Error, map[int32]int{6000204: apicode.UserUnregistered})
			out.ErrorList = append(out.ErrorList, userError{to, f.code, f.message})
			continue
		}
		ack := resp.GetSendMessage()
		out.SuccList = append(out.SuccList, sentOut{to, strconv.FormatInt(ack.MessageId, 10), ack.MessageSeq})
	}
	return out, batch(out.ErrorList, len(acts))
}

type sendGroupIn struct {
	FromUserId string `zim:"needed,user"`
	GroupId    string `zim:"needed,id"`
	sending
}

type sendGroupOut struct {
	MsgSeq     int64 `json:",omitempty"`
	MsgId      int64
	AuditInfos []auditInfo
}

func sendGroupMessage(c *call, in *sendGroupIn) (any, *failure) {
	req, f := c.request(&in.sending, convGroup, in.GroupId)
	if f != nil {
		return nil, f
	}
	resp, f := c.act(backend.Act{UserID: in.FromUserId, Request: send(req), Said: in.MessageBody.Message}, nil)
	if f != nil {
		return nil, f
	}
	return sendGroupOut{resp.GetSendMessage().MessageSeq, resp.GetSendMessage().MessageId, []auditInfo{}}, nil
}

type sendRoomIn struct {
	FromUserId string `zim:"needed,user"`
	RoomId     string `zim:"needed,id"`
	sending
}

type auditOut struct {
	AuditInfos []auditInfo
}

func sendRoomMessage(c *call, in *sendRoomIn) (any, *failure) {
	req, f := c.request(&in.sending, convRoom, in.RoomId)
	if f != nil {
		return nil, f
	}
	_, f = c.act(backend.Act{UserID: in.FromUserId, Request: send(req), Said: in.MessageBody.Message, Unaware: in.unaware(true)}, nil)
	if f != nil {
		return nil, f
	}
	return auditOut{[]auditInfo{}}, nil
}

type sendAllIn struct {
	FromUserId string `zim:"needed,user"`
	sending
}

// sendMessageToAllUsers reaches those who are online. Nobody is pushed, whatever PushType says.
func sendMessageToAllUsers(c *call, in *sendAllIn) (any, *failure) {
	switch in.MessageType {
	case msgtype.Text, msgtype.Image, msgtype.File, msgtype.Audio, msgtype.Video, msgtype.Custom:
	default:
		return nil, badInput("a message of this type can't be broadcast")
	}
	in.Priority = 1 // it has none
	req, f := c.request(&in.sending, convPeer, in.FromUserId)
	if f != nil {
		return nil, f
	}
	if f := c.actors(apicode.Actor, in.FromUserId); f != nil {
		return nil, f
	}
	err := c.server().Broadcast(c.app, backend.Broadcast{Sender: in.FromUserId, Type: req.Type, Content: req.Content, ExtendedData: req.ExtendedData})
	if err != nil {
		return nil, badInput("the message can't be broadcast")
	}
	return nil, nil
}

type revokePeerIn struct {
	FromUserId string `zim:"needed,user"`
	ToUserId   string `zim:"needed,user"`
	MsgSeq     int64
	Payload    string `zim:"max=200"`
}

type revokeGroupIn struct {
	FromUserId string `zim:"needed,user"`
	GroupId    string `zim:"needed,id"`
	MsgSeq     int64
	Payload    string `zim:"max=200"`
}

func revokePeerMessage(c *call, in *revokePeerIn) (any, *failure) {
	return c.revoke(in.FromUserId, convPeer, in.ToUserId, in.MsgSeq, in.Payload)
}

func revokeGroupMessage(c *call, in *revokeGroupIn) (any, *failure) {
	return c.revoke(in.FromUserId, convGroup, in.GroupId, in.MsgSeq, in.Payload)
}

func (c *call) revoke(userID string, convType int32, convID string, seq int64, extended string) (any, *failure) {
	_, f := c.do(userID, &wire.Request{Body: &wire.Request_RevokeMessage{RevokeMessage: &wire.RevokeMessageRequest{
		Message: messageRef(convType, convID, seq), ExtendedData: extended,
	}}}, map[int32]int{6000541: apicode.NotTheSender})
	return nil, f
}

func ref(convType int32, convID string) *wire.ConversationRef {
	return &wire.ConversationRef{Type: convType, Id: convID}
}

func messageRef(convType int32, convID string, seq int64) *wire.MessageRef {
	return &wire.MessageRef{Conversation: ref(convType, convID), Seq: seq}
}

// What an edit changes: the bits of EditType.
const editContent, editExtended, editMentions, editMentionAll, editSubType = 1, 2, 4, 8, 16

type editIn struct {
	FromUserId  string `zim:"needed,user"`
	ConvId      string `zim:"needed,id"`
	MsgType     int64
	ConvMsgSeq  int64
	EditType    int64
	MessageBody messageBody
	AtListInfo  struct {
		AtList []string `zim:"max=50,user"`
	}
	IsAtAll    bool
	SubMsgType int64
}

type editOut struct {
	StateMsgSeq, EditMsgSeq, LatestEditTime int64
}

func editPeerMessage(c *call, in *editIn) (any, *failure) { return c.edit(in, convPeer) }

func editGroupMessage(c *call, in *editIn) (any, *failure) { return c.edit(in, convGroup) }

// edit replaces what the bits name, and keeps the rest as it is.
func (c *call) edit(in *editIn, convType int32) (any, *failure) {
	if in.EditType < 1 || in.EditType > 31 {
		return nil, badInput("EditType is 1 to 31")
	}
	old, f := c.messages(in.FromUserId, convType, in.ConvId, []int64{in.ConvMsgSeq})
	if f != nil {
		return nil, f
	}
	if len(old) == 0 {
		return nil, fail(apicode.NoMessage, "there is no such message")
	}
	m := old[0]
	if int64(m.Type) != in.MsgType {
		return nil, badInput("the message is of another type")
	}
	req := &wire.EditMessageRequest{
		Message: messageRef(convType, in.ConvId, in.ConvMsgSeq), Type: m.Type, Content: m.Content, ExtendedData: m.ExtendedData,
		MentionedUserIds: m.MentionedUserIds, IsMentionAll: m.IsMentionAll,
	}
	if in.EditType&(editContent|editSubType) != 0 {
		if req.Content, f = c.editedContent(in, m); f != nil {
			return nil, f
		}
	}
	if in.EditType&editExtended != 0 {
		req.ExtendedData = in.MessageBody.ExtendedData
	}
	if in.EditType&editMentions != 0 {
		req.MentionedUserIds = in.AtListInfo.AtList
	}
	if in.EditType&editMentionAll != 0 {
		req.IsMentionAll = in.IsAtAll
	}
	act := backend.Act{UserID: in.FromUserId, Request: &wire.Request{Body: &wire.Request_EditMessage{EditMessage: req}}}
	if in.EditType&editContent != 0 {
		act.Said = in.MessageBody.Message
	}
	resp, f := c.act(act, nil)
	if f != nil {
		return nil, f
	}
	return editOut{in.ConvMsgSeq, in.ConvMsgSeq, resp.GetMessage().GetEditedTimeMs() / 1000}, nil
}

func (c *call) editedContent(in *editIn, m *wire.Message) ([]byte, *failure) {
	text, sub := in.MessageBody.Message, int64(msgbody.SubType(m.Type, m.Content))
	if in.EditType&editContent == 0 {
		text = c.bodies().Body(m.Type, m.Content)
	}
	if in.EditType&editSubType != 0 {
		if m.Type != msgtype.Custom {
			return nil, badInput("only custom messages have a sub-type")
		}
		sub = in.SubMsgType
	}
	limits, _ := c.server().Limits(c.app)
	if len(text) > sizeLimit(&limits, int64(m.Type)) {
		return nil, fail(apicode.MessageTooBig, "the Message is too long")
	}
	return encode(int64(m.Type), sub, text, msgbody.Searched(m.Type, m.Content))
}

func (c *call) bodies() msgbody.Maker { return msgbody.Maker{FileURL: c.api.config.FileURL} }

// messages returns those of the messages with some numbers that a user sees, or if it is empty that are in the group.
func (c *call) messages(userID string, convType int32, convID string, seqs []int64) (list []*wire.Message, f *failure) {
	const atOnce = 10
	for part := range slices.Chunk(seqs, atOnce) {
		resp, f := c.do(userID, &wire.Request{Body: &wire.Request_QueryMessages{QueryMessages: &wire.QueryMessagesRequest{
			Conversation: ref(convType, convID), Seqs: slices.Clone(part),
		}}}, nil)
		if f != nil {
			return nil, f
		}
		list = append(list, resp.GetMessages().GetMessages()...)
	}
	return list, nil
}

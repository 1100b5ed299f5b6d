package restapi

import (
	"slices"
	"time"

	"github.com/zim-go/zim/backend/internal/apicode"
	"github.com/zim-go/zim/backend/internal/msgbody"
	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/wire"
)

// What IsEmpty says of a message.
const isThere, isDeleted, isRecalled = 0, 1, 2

type historyMessage struct {
	Sender     string `json:",omitempty"`
	MsgType    int32  `json:",omitempty"`
	SubMsgType int32  `json:",omitempty"`
	MsgBody    string `json:",omitempty"`
	MsgId      int64  `json:",omitempty"`
	MsgSeq     int64
	Payload    string `json:",omitempty"`
	MsgTime    int64  `json:",omitempty"`
	IsEmpty    int
}

// entry makes what is told of a message. m.SenderUserId is empty if the one at the other end of a peer conversation sent it.
func (c *call) entry(m *wire.Message) historyMessage {
	e := historyMessage{
		Sender: m.SenderUserId, MsgType: m.Type, SubMsgType: msgbody.SubType(m.Type, m.Content), MsgBody: c.bodies().Body(m.Type, m.Content),
		MsgId: m.MessageId, MsgSeq: m.MessageSeq, Payload: m.ExtendedData, MsgTime: m.TimestampMs,
	}
	if e.Sender == "" {
		e.Sender = m.ConversationId
	}
	if m.Type == msgtype.Revoke {
		e.IsEmpty = isRecalled
	}
	return e
}

type page struct {
	Limit, Next, WithEmptyMsg int64
}

type queryPeerIn struct {
	FromUserId string `zim:"needed,user"`
	ToUserId   string `zim:"needed,user"`
	page
}

type queryGroupIn struct {
	GroupId string `zim:"needed,id"`
	page
}

type historyOut struct {
	Next int64
	List []historyMessage
}

func queryPeerMsg(c *call, in *queryPeerIn) (any, *failure) {
	return c.history(in.FromUserId, ref(convPeer, in.ToUserId), in.page)
}

// queryGroupMsg reads what was said in a group, and not what one of its members sees of it.
func queryGroupMsg(c *call, in *queryGroupIn) (any, *failure) {
	return c.history("", ref(convGroup, in.GroupId), in.page)
}

// history reads a page. Recalled messages are left out unless they are wanted, and notes of what happened to a group always: then there are
// fewer on the page, and the next one begins where it would anyway. Deleted ones are never there.
func (c *call) history(userID string, conv *wire.ConversationRef, p page) (any, *failure) {
	if p.Limit <= 0 {
		p.Limit = 10
	}
	if p.Next < 0 {
		return nil, badInput("Next is none of the service's")
	}
	resp, f := c.do(userID, &wire.Request{Body: &wire.Request_QueryMessages{QueryMessages: &wire.QueryMessagesRequest{
		Conversation: conv, After: p.Next, Count: int32(min(p.Limit, 100)),
	}}}, nil)
	if f != nil {
		return nil, f
	}
	found := resp.GetMessages()
	out := historyOut{found.GetNext(), []historyMessage{}}
	for _, m := range slices.Backward(found.GetMessages()) {
		if m.Type != msgtype.Tips && (m.Type != msgtype.Revoke || p.WithEmptyMsg == 1) {
			out.List = append(out.List, c.entry(m))
		}
	}
	return out, nil
}

type bySeqIn struct {
	FromUserId string `zim:"needed,user"`
	ConvId     string `zim:"needed,id"`
	ConvType   int64
	MsgSeqList []int64 `zim:"needed"`
}

// weigh: the limit counts messages.
func (in *bySeqIn) weigh() (string, int) { return "", min(len(in.MsgSeqList), maxBySeq) }

const maxBySeq = 20

type bySeqOut struct {
	MessageList []historyMessage
}

func queryMessagesByMsgSeq(c *call, in *bySeqIn) (any, *failure) {
	userID := in.FromUserId
	switch {
	case len(in.MsgSeqList) > maxBySeq:
		return nil, badInput("up to 20 messages at once")
	case in.ConvType != convPeer && in.ConvType != convGroup:
		return nil, badInput("ConvType is 0 or 2")
	case in.ConvType == convGroup:
		if f := c.actors(apicode.UserUnregistered, in.FromUserId); f != nil {
			return nil, f
		}
		userID = "" // any user sees all of it
	}
	list, f := c.messages(userID, int32(in.ConvType), in.ConvId, in.MsgSeqList)
	if f != nil {
		return nil, f
	}
	out := bySeqOut{[]historyMessage{}}
	for _, seq := range in.MsgSeqList {
		e := historyMessage{MsgSeq: seq, IsEmpty: isDeleted}
		if i := slices.IndexFunc(list, func(m *wire.Message) bool { return m.MessageSeq == seq }); i >= 0 {
			e = c.entry(list[i])
		}
		out.MessageList = append(out.MessageList, e)
	}
	return out, nil
}

type clearPeerIn struct {
	FromUserId string `zim:"needed,user"`
	ToUserId   string `zim:"needed,user"`
}

type clearGroupIn struct {
	FromUserId string `zim:"needed,user"`
	GroupId    string `zim:"needed,id"`
}

func clearPeerMessage(c *call, in *clearPeerIn) (any, *failure) {
	return c.clear(in.FromUserId, ref(convPeer, in.ToUserId))
}

func clearMemberGroupMessage(c *call, in *clearGroupIn) (any, *failure) {
	return c.clear(in.FromUserId, ref(convGroup, in.GroupId))
}

func (c *call) clear(userID string, conv *wire.ConversationRef) (any, *failure) {
	_, f := c.do(userID, &wire.Request{Body: &wire.Request_DeleteMessages{DeleteMessages: &wire.DeleteMessagesRequest{Conversation: conv}}}, nil)
	return nil, f
}

type peerReceiptIn struct {
	FromUserId string `zim:"needed,user"`
	ConvId     string `zim:"needed,user"`
	ConvMsgSeq []int64
}

type groupReceiptIn struct {
	FromUserId string `zim:"needed,user"`
	GroupId    string `zim:"needed,id"`
	ConvMsgSeq []int64
}

type receiptOut struct {
	ReadTime int64 // milliseconds
}

func peerReadReceipt(c *call, in *peerReceiptIn) (any, *failure) {
	return c.read(in.FromUserId, ref(convPeer, in.ConvId), in.ConvMsgSeq, apicode.PeerReceiptFailed)
}

func groupReadReceipt(c *call, in *groupReceiptIn) (any, *failure) {
	return c.read(in.FromUserId, ref(convGroup, in.GroupId), in.ConvMsgSeq, apicode.GroupReceiptFailed)
}

func (c *call) read(userID string, conv *wire.ConversationRef, seqs []int64, none int) (any, *failure) {
	_, f := c.do(userID, &wire.Request{Body: &wire.Request_Receipts{Receipts: &wire.ReceiptsRequest{
		Conversation: conv, Seqs: seqs, Read: true,
	}}}, map[int32]int{6000277: none})
	if f != nil {
		return nil, f
	}
	return receiptOut{time.Now().UnixMilli()}, nil
}

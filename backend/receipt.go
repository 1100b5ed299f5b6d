package backend

import (
	"fmt"
	"slices"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/wire"
)

const maxReceipts = 10

// receipts reads receipts, or says that messages were read.
func (a *attachment) receipts(s *session, id uint64, req *wire.ReceiptsRequest) {
	if n := len(req.Seqs); n == 0 || n > maxReceipts {
		a.refuse(id, refuse(codeTooManyReceipts, fmt.Sprintf("receipts are for 1 to %d messages at once", maxReceipts)))
		return
	}
	if req.Read {
		a.change(s, id, func(c *change) (*wire.Response, *wire.Error, error) { return c.read(req) })
		return
	}
	a.view(s, id, func(r *reader) (*wire.Response, *wire.Error, error) {
		resp := new(wire.ReceiptsResponse)
		_, list, refused, err := r.receipted(req, resp, func(*store.Message) bool { return true })
		if refused != nil || err != nil {
			return nil, refused, err
		}
		for _, m := range list {
			receipt, err := r.receipt(m)
			if err != nil {
				return nil, nil, err
			}
			resp.Receipts = append(resp.Receipts, receipt)
		}
		return &wire.Response{Body: &wire.Response_Receipts{Receipts: resp}}, nil, nil
	})
}

// receipted returns those of the messages that have receipts and pass ok, and puts the others into resp.
func (r *reader) receipted(req *wire.ReceiptsRequest, resp *wire.ReceiptsResponse, ok func(*store.Message) bool) (*store.Member, []*store.Message, *wire.Error, error) {
	member, refused, err := r.joined(req.Conversation)
	if refused != nil || err != nil {
		return nil, nil, refused, err
	}
	var list []*store.Message
	slices.Sort(req.Seqs)
	for _, seq := range slices.Compact(req.Seqs) {
		var m *store.Message
		if member != nil {
			if m, err = r.seen(member, seq); err != nil {
				return nil, nil, nil, err
			}
		}
		if m == nil || m.Flags&store.FlagReceipt == 0 || !ok(m) {
			resp.Failed = append(resp.Failed, seq)
		} else {
			list = append(list, m)
		}
	}
	return member, list, nil, nil
}

// read keeps that the user has read messages, and tells their senders.
func (c *change) read(req *wire.ReceiptsRequest) (*wire.Response, *wire.Error, error) {
	resp := new(wire.ReceiptsResponse)
	member, list, refused, err := c.receipted(req, resp, func(m *store.Message) bool { return m.Sender.ID != c.self.ID })
	if refused != nil || err != nil {
		return nil, refused, err
	}
	if len(list) == 0 {
		return nil, refuse(codeReceiptFailed, "none of the messages was received by the user and wants a receipt"), nil
	}
	var senders []string
	bySender := make(map[string][]*store.Message)
	var self []*wire.Receipt
	for _, m := range list {
		news, err := c.MarkRead(m.Place, c.self.ID, c.now)
		if err != nil {
			return nil, nil, err
		}
		if !news {
			continue
		}
		if bySender[m.Sender.UserID] == nil {
			senders = append(senders, m.Sender.UserID)
		}
		bySender[m.Sender.UserID] = append(bySender[m.Sender.UserID], m)
		self = append(self, &wire.Receipt{
			Status: receiptDone, MessageId: m.ID, MessageSeq: m.Seq(), Conversation: refOf(m.Conversation, c.self.UserID),
			IsSelfOperated: true, ReadTimeMs: c.now,
		})
	}
	for _, sender := range senders {
		if err := c.tellSender(sender, bySender[sender]); err != nil {
			return nil, nil, err
		}
	}
	if len(self) > 0 {
		err = c.tell(c.self, member.Conversation.Place(1), &wire.Event{Receipts: self})
	}
	return &wire.Response{Body: &wire.Response_Receipts{Receipts: resp}}, nil, err
}

// tellSender tells the sender of messages how far they were read.
func (c *change) tellSender(userID string, list []*store.Message) error {
	u, err := c.User(c.self.AppID, userID)
	if err != nil {
		return err
	}
	r := c.reader
	r.self = u
	e := new(wire.Event)
	for _, m := range list {
		receipt, err := r.receipt(m)
		if err != nil {
			return err
		}
		e.Receipts = append(e.Receipts, receipt)
	}
	return c.tell(u, list[0].Place, e)
}

// readConversation says that all that the other user has sent so far was read.
func (a *attachment) readConversation(s *session, id uint64, req *wire.ReadConversationRequest) {
	a.change(s, id, func(c *change) (*wire.Response, *wire.Error, error) {
		if req.Conversation.GetType() != store.ConversationPeer {
			return nil, refuse(codeParamsInvalid, "that is for conversations with users"), nil
		}
		m, refused, err := c.conversation(req.Conversation)
		if refused != nil || err != nil {
			return nil, refused, err
		}
		if m == nil {
			return nil, refuse(codeNoConversation, "there is no such conversation"), nil
		}
		if m.Receipt == m.Last {
			return new(wire.Response), nil, nil
		}
		m.Receipt = m.Last
		if err := c.PutMember(m); err != nil {
			return nil, nil, err
		}
		last, err := c.MessageAt(m.Conversation.Place(int64(m.Last)))
		if err != nil {
			return nil, nil, err
		}
		err = c.tellAll(m.Conversation, last.Place, 0, func(u *store.User) *wire.Event {
			return &wire.Event{ConversationReceipt: &wire.Receipt{
				Status: receiptDone, MessageId: last.ID, MessageSeq: last.Seq(), Conversation: refOf(m.Conversation, u.UserID),
				IsSelfOperated: u.ID == c.self.ID,
			}}
		})
		return new(wire.Response), nil, err
	})
}

// queryReceiptMembers reads who of a group has read a message of the user, or has not.
func (a *attachment) queryReceiptMembers(s *session, id uint64, req *wire.QueryReceiptMembersRequest) {
	a.view(s, id, func(r *reader) (*wire.Response, *wire.Error, error) {
		if req.Count > maxPage || req.Count < 0 || req.Next < 0 || req.Message.GetConversation().GetType() != store.ConversationGroup {
			return nil, refuse(codeParamsInvalid, "a page has up to 100 members of a group"), nil
		}
		m, _, refused, err := r.message(req.Message)
		if refused != nil || err != nil {
			return nil, refused, err
		}
		if m.Sender.ID != r.self.ID || m.Flags&store.FlagReceipt == 0 {
			return nil, refuse(codeParamsInvalid, "that is for messages of the user that have receipts"), nil
		}
		limit := int64(pageSize(req.Count, maxPage))
		ids, err := r.Audience(m, req.Unread, req.Next, limit+1)
		resp := new(wire.GroupMembers)
		for i, userID := range ids {
			if int64(i) == limit {
				resp.Next = req.Next + limit
				break
			}
			member, err := r.GroupMember(m.Conversation, userID)
			if err != nil {
				return nil, nil, err
			}
			resp.Members = append(resp.Members, wireMember(member))
		}
		return &wire.Response{Body: &wire.Response_GroupMembers{GroupMembers: resp}}, nil, err
	})
}

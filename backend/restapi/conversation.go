package restapi

import (
	"cmp"
	"maps"
	"slices"

	"github.com/zim-go/zim/backend/internal/apicode"
	"github.com/zim-go/zim/wire"
)

// maxConversations is how many a user's list has.
const maxConversations = 1000

type listIn struct {
	FromUserId  string `zim:"needed,user"`
	Limit, Next int64
}

type conversationOut struct {
	ConvId     string
	ConvType   int32 `json:",omitempty"`
	UpdateTime int64 // milliseconds
}

type listOut struct {
	TotalCount int
	Next       int64
	List       []conversationOut
}

// queryConversationList pages through the list, the newest last. Next is how many came before: a conversation that changes meanwhile can come
// twice, or not at all.
func queryConversationList(c *call, in *listIn) (any, *failure) {
	all := []conversationOut{}
	req := &wire.QueryConversationsRequest{Count: 500}
	for len(all) < maxConversations {
		resp, f := c.do(in.FromUserId, &wire.Request{Body: &wire.Request_QueryConversations{QueryConversations: req}}, nil)
		if f != nil {
			return nil, f
		}
		found := resp.GetConversations()
		for _, w := range found.GetConversations() {
			const counterBits = 20 // of an order key, below the time
			updated := w.OrderKey >> counterBits
			if w.LastMessage != nil {
				updated = w.LastMessage.TimestampMs
			}
			all = append(all, conversationOut{w.Ref.Id, w.Ref.Type, updated})
		}
		if !found.GetMore() || len(found.Conversations) == 0 {
			break
		}
		last := found.Conversations[len(found.Conversations)-1]
		req = &wire.QueryConversationsRequest{Count: 500, After: &wire.ConversationPlace{
			IsPinned: last.PinnedTimeMs != 0, OrderKey: last.OrderKey, Ref: last.Ref,
		}}
	}
	slices.SortStableFunc(all, func(a, b conversationOut) int { return cmp.Compare(a.UpdateTime, b.UpdateTime) })
	limit := int64(100)
	if in.Limit > 0 {
		limit = min(in.Limit, 500)
	}
	start := min(max(in.Next, 0), int64(len(all)))
	end := min(start+limit, int64(len(all)))
	out := listOut{TotalCount: len(all), List: all[start:end]}
	if end < int64(len(all)) {
		out.Next = end
	}
	return out, nil
}

type convRef struct {
	ConvId   string `zim:"needed,id"`
	ConvType int64
}

func refsOf(list []convRef) ([]*wire.ConversationRef, *failure) {
	refs := make([]*wire.ConversationRef, len(list))
	for i, r := range list {
		if r.ConvType != convPeer && r.ConvType != convGroup {
			return nil, badInput("ConvType is 0 or 2")
		}
		refs[i] = ref(int32(r.ConvType), r.ConvId)
	}
	return refs, nil
}

type convError struct {
	ConvId     string
	ConvType   int32 `json:",omitempty"`
	SubCode    int
	SubMessage string
}

type convErrorsOut struct {
	ErrorList []convError
}

// change changes what a user has of conversations, and tells which ones there are none of.
func (c *call) change(userID string, req *wire.ChangeConversationsRequest) ([]convError, *failure) {
	resp, f := c.do(userID, &wire.Request{Body: &wire.Request_ChangeConversations{ChangeConversations: req}}, nil)
	missing := resp.GetChangeConversations().GetFailed()
	code := apicode.NoConversation
	if f != nil {
		switch f.code {
		case apicode.NoConversation, apicode.NoGroup, apicode.NotInGroup: // of all
			missing, code = req.Refs, f.code
		default:
			return nil, f
		}
	}
	errs := []convError{}
	for _, r := range missing {
		errs = append(errs, convError{r.Id, r.Type, code, "there is no such conversation"})
	}
	return errs, f
}

type pinIn struct {
	FromUserId string    `zim:"needed,user"`
	ConvList   []convRef `zim:"needed,max=20"`
	PinnedType *int64
}

func convPinned(c *call, in *pinIn) (any, *failure) {
	refs, f := refsOf(in.ConvList)
	if f == nil && (in.PinnedType == nil || *in.PinnedType != 0 && *in.PinnedType != 1) {
		f = badInput("PinnedType is 0 or 1")
	}
	if f != nil {
		return nil, f
	}
	errs, f := c.change(in.FromUserId, &wire.ChangeConversationsRequest{
		Refs: refs, Change: &wire.ChangeConversationsRequest_Pin{Pin: *in.PinnedType == 1},
	})
	return convErrorsOut{errs}, f
}

type silenceIn struct {
	FromUserId string `zim:"needed,user"`
	ConvType   int64
	ConvIds    []string `zim:"needed,max=10,id"`
	Enable     *bool
}

// The documented statuses of notifications.
const notify, doNotDisturb = 1, 2

func silenceConvNotification(c *call, in *silenceIn) (any, *failure) {
	list := make([]convRef, len(in.ConvIds))
	for i, id := range in.ConvIds {
		list[i] = convRef{id, in.ConvType}
	}
	refs, f := refsOf(list)
	if f == nil && in.Enable == nil {
		f = badInput("Enable is missing")
	}
	if f != nil {
		return nil, f
	}
	status := int32(notify)
	if *in.Enable {
		status = doNotDisturb
	}
	errs, f := c.change(in.FromUserId, &wire.ChangeConversationsRequest{
		Refs: refs, Change: &wire.ChangeConversationsRequest_NotificationStatus{NotificationStatus: status},
	})
	return convErrorsOut{errs}, f
}

type markContent struct {
	MarkContent int64
}

type markIn struct {
	FromUserId       string `zim:"needed,user"`
	ConvMarkInfoList []struct {
		UserId       string `zim:"needed,user"`
		SetMarkC2c   map[string]markContent
		SetMarkGroup map[string]markContent
		Action       bool
	} `zim:"needed,max=100"`
}

type markError struct {
	Code     int
	Message  string
	ConvId   string
	ConvType int32 `json:",omitempty"`
}

type userMarkError struct {
	SubCode    int
	SubMessage string
	UserId     string
	FailList   []markError
}

type markOut struct {
	FailList []userMarkError
}

// setConvMark marks conversations of users. SubCode zero with a list means that some of the user's failed.
func setConvMark(c *call, in *markIn) (any, *failure) {
	if f := c.actors(apicode.Actor, in.FromUserId); f != nil {
		return nil, f
	}
	out := markOut{[]userMarkError{}}
	done := 0
	for _, info := range in.ConvMarkInfoList {
		if len(info.SetMarkC2c) > 100 || len(info.SetMarkGroup) > 100 {
			return nil, badInput("up to 100 conversations of a user are marked at once")
		}
	}
	for _, info := range in.ConvMarkInfoList {
		failedHere := userMarkError{UserId: info.UserId, FailList: []markError{}}
		items := 0
		for convType, marks := range map[int32]map[string]markContent{convPeer: info.SetMarkC2c, convGroup: info.SetMarkGroup} {
			for _, id := range slices.Sorted(maps.Keys(marks)) {
				items++
				mark := marks[id]
				f := badInput("marks are 1 to 30")
				if mark.MarkContent >= 1 && mark.MarkContent <= 30 {
					_, f = c.change(info.UserId, &wire.ChangeConversationsRequest{
						Refs:   []*wire.ConversationRef{ref(convType, id)},
						Change: &wire.ChangeConversationsRequest_Mark{Mark: &wire.ConversationMark{Mark: int32(mark.MarkContent), Enable: info.Action}},
					})
				}
				if f != nil {
					failedHere.FailList = append(failedHere.FailList, markError{f.code, f.message, id, convType})
				}
			}
		}
		switch n := len(failedHere.FailList); {
		case items == 0:
			failedHere.SubCode, failedHere.SubMessage = apicode.Input, "there is nothing to mark"
		case n == items:
			failedHere.SubCode, failedHere.SubMessage = failedHere.FailList[0].Code, "every conversation has failed"
		default:
			done++
			if n == 0 {
				continue
			}
		}
		out.FailList = append(out.FailList, failedHere)
	}
	if done == 0 {
		return out, fail(apicode.MarksFailed, "every mark has failed")
	}
	return out, nil
}

type oneConvIn struct {
	FromUserId string `zim:"needed,user"`
	convRef
}

func clearConversationUnread(c *call, in *oneConvIn) (any, *failure) {
	return c.changeOne(in, &wire.ChangeConversationsRequest{Change: &wire.ChangeConversationsRequest_ClearUnread{ClearUnread: true}})
}

// deleteConv takes a conversation out of the user's list. One that is not there is taken for done.
func deleteConv(c *call, in *oneConvIn) (any, *failure) {
	out, f := c.changeOne(in, &wire.ChangeConversationsRequest{Change: &wire.ChangeConversationsRequest_Delete{Delete: true}})
	if f != nil && f.code == apicode.NoConversation {
		return nil, nil
	}
	return out, f
}

func (c *call) changeOne(in *oneConvIn, req *wire.ChangeConversationsRequest) (any, *failure) {
	var f *failure
	if req.Refs, f = refsOf([]convRef{in.convRef}); f != nil {
		return nil, f
	}
	_, f = c.change(in.FromUserId, req)
	return nil, f
}

package zim

import (
	"context"
	"iter"

	"github.com/zim-go/zim/wire"
)

// MessageReaction is what all users together think of a message, in one word.
type MessageReaction struct {
	ReactionType   string
	Conversation   ConversationRef
	MessageID      string
	TotalCount     int64    // users
	SumCount       int64    // times, of all of them together
	IsSelfIncluded bool     // this user is one of them
	UserIDs        []string // the first few of them (documented as userList)
}

// MessageReactionsChanged tells everybody who can see a message, also the ZIM that did it, that somebody has reacted to it, or
// no longer does.
type MessageReactionsChanged struct {
	Reactions      []MessageReaction // as they are now
	ChangeInfoList []MessageReactionChangeInfo
}

// MessageReactionChangeInfo is what changed at one message.
type MessageReactionChangeInfo struct {
	Message            *Message
	UserChangeInfoList []MessageReactionUserChangeInfo
}

// MessageReactionUserChangeInfo is what one user did.
type MessageReactionUserChangeInfo struct {
	UserID       string
	ReactionType string
	Action       MessageReactionUserChangeAction
	SumCount     int64 // how often the user has reacted so, now
}

func (*MessageReactionsChanged) event() eventKind { return kindMessageReactionsChanged }

func reactionsChanged(r *wire.ReactionChange, m *Message) *MessageReactionsChanged {
	info := MessageReactionChangeInfo{Message: m}
	e := new(MessageReactionsChanged)
	for _, ch := range r.Changes {
		info.UserChangeInfoList = append(info.UserChangeInfoList, MessageReactionUserChangeInfo{
			UserID: r.UserId, ReactionType: ch.Type, Action: MessageReactionUserChangeAction(ch.Action), SumCount: ch.SumCount,
		})
		now := MessageReaction{ReactionType: ch.Type, Conversation: m.Conversation, MessageID: m.ID}
		for _, v := range m.Reactions {
			if v.ReactionType == ch.Type {
				now = v
			}
		}
		e.Reactions = append(e.Reactions, now)
	}
	e.ChangeInfoList = []MessageReactionChangeInfo{info}
	return e
}

// MessageReactionAddConfig refines a reaction.
type MessageReactionAddConfig struct {
	// IncreaseCount is how often to add the reaction to those of the same type that this user has added. Zero adds it once, and
	// fails if there is one.
	IncreaseCount int
}

// AddMessageReaction reacts to a message of a user or a group that is at most 7 days old, in a word of up to 32 bytes, an emoji perhaps.
// A message has up to 100 different ones. It returns the reaction as it is now. A nil config means the zero MessageReactionAddConfig. It fails with
// [ErrMessageMessageReactionTypeExisted] if this user has reacted so before, and with [ErrCommonParamsInvalid] for a message that nobody
// can react to.
func (z *ZIM) AddMessageReaction(ctx context.Context, reactionType string, m *Message, config *MessageReactionAddConfig) (*MessageReaction, error) {
	const op = "AddMessageReaction"
	req := &wire.ReactRequest{Type: reactionType}
	if config != nil {
		if config.IncreaseCount < 0 || config.IncreaseCount > 1_000_000 {
			return nil, invalid(op, "the count is %d", config.IncreaseCount)
		}
		req.Increase = int32(config.IncreaseCount)
	}
	return z.react(ctx, op, m, req)
}

// DeleteMessageReaction takes all of this user's reactions of a type to a message away. It fails with
// [ErrMessageMessageReactionTypeExisted] if there is none.
func (z *ZIM) DeleteMessageReaction(ctx context.Context, reactionType string, m *Message) (*MessageReaction, error) {
	return z.react(ctx, "DeleteMessageReaction", m, &wire.ReactRequest{Type: reactionType, Remove: true})
}

// DeleteMessageAllReactions takes all of this user's reactions to a message away, if there are any.
func (z *ZIM) DeleteMessageAllReactions(ctx context.Context, m *Message) error {
	const op = "DeleteMessageAllReactions"
	if e := stored(op, m); e != nil {
		return e
	}
	_, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_React{React: &wire.ReactRequest{Message: wireMessageRef(m), Remove: true}}})
	return err
}

func (z *ZIM) react(ctx context.Context, op string, m *Message, req *wire.ReactRequest) (*MessageReaction, error) {
	if e := stored(op, m); e != nil {
		return nil, e
	}
	if req.Type == "" {
		return nil, invalid(op, "the reaction is empty")
	}
	if e := checkText(op, "reaction", req.Type, maxReactionType); e != nil {
		return nil, e
	}
	req.Message = wireMessageRef(m)
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_React{React: req}})
	if err != nil {
		return nil, err
	}
	w := resp.GetReact().GetReaction()
	if w == nil {
		return nil, noAnswer(op)
	}
	return new(reaction(w, m)), nil
}

// MessageReactionUserQueryConfig asks for a page of users.
type MessageReactionUserQueryConfig struct {
	NextFlag int64 // what the page before returned; zero asks for the first one
	Count    int   // up to 100; zero means 100
	// ReactionType asks for those who reacted so. Empty asks for everybody, those with the most reactions first.
	ReactionType string
}

// MessageReactionUserFullInfo is a user who has reacted to a message.
type MessageReactionUserFullInfo struct {
	UserID    string
	Reactions []MessageReactionSimpleInfo
}

// MessageReactionSimpleInfo is how often a user has reacted in a way.
type MessageReactionSimpleInfo struct {
	ReactionType string
	SumCount     int64
}

// MessageReactionUserListQueriedResult is a page of users who have reacted to a message.
type MessageReactionUserListQueriedResult struct {
	UserInfoList []MessageReactionUserFullInfo
	NextFlag     int64 // asks for the next page; zero at the end
	TotalCount   int64 // users in all
}

// QueryMessageReactionUserList returns a page of those who have reacted to a message. For all of them, see
// [ZIM.MessageReactionUsers].
func (z *ZIM) QueryMessageReactionUserList(ctx context.Context, m *Message, config MessageReactionUserQueryConfig) (*MessageReactionUserListQueriedResult, error) {
	const op = "QueryMessageReactionUserList"
	if e := stored(op, m); e != nil {
		return nil, e
	}
	if config.Count < 0 || config.Count > maxPage {
		return nil, invalid(op, "the count is %d, it may be up to %d", config.Count, maxPage)
	}
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_QueryReactionUsers{QueryReactionUsers: &wire.QueryReactionUsersRequest{
		Message: wireMessageRef(m), Type: config.ReactionType, Next: config.NextFlag, Count: int32(config.Count),
	}}})
	if err != nil {
		return nil, err
	}
	w := resp.GetReactionUsers()
	result := &MessageReactionUserListQueriedResult{NextFlag: w.GetNext(), TotalCount: w.GetTotalCount()}
	for _, u := range w.GetUsers() {
		info := MessageReactionUserFullInfo{UserID: u.UserId}
		for _, r := range u.Reactions {
			info.Reactions = append(info.Reactions, MessageReactionSimpleInfo{ReactionType: r.Type, SumCount: r.SumCount})
		}
		result.UserInfoList = append(result.UserInfoList, info)
	}
	return result, nil
}

// MessageReactionUsers yields all who have reacted to a message, in a way or, if reactionType is empty, in any, and gets page
// after page. A page that fails ends the sequence with its error.
func (z *ZIM) MessageReactionUsers(ctx context.Context, m *Message, reactionType string) iter.Seq2[MessageReactionUserFullInfo, error] {
	return paginate(ctx, int64(0), func(at int64) (list []MessageReactionUserFullInfo, next int64, more bool, err error) {
		page, err := z.QueryMessageReactionUserList(ctx, m, MessageReactionUserQueryConfig{NextFlag: at, ReactionType: reactionType})
		if err != nil {
			return nil, 0, false, err
		}
		return page.UserInfoList, page.NextFlag, page.NextFlag != 0, nil
	})
}

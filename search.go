package zim

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// MessageSearchConfig says what to look for in this device's store: see AppConfig.LocalStore. Empty fields leave nothing out.
type MessageSearchConfig struct {
	NextMessage     *Message      // the last message of the page before; nil asks for the first page
	Count           int           // zero means 20
	Order           MessageOrder  // by default, new messages come first
	Keywords        []string      // up to 5, all of which must be there, whatever their case
	MessageTypes    []MessageType // one of these
	SubMessageTypes []int         // for custom messages, one of these
	SenderUserIDs   []string      // up to 5, one of these
	StartTime       time.Time     // not before; zero leaves it open
	EndTime         time.Time     // not after; zero leaves it open
}

const maxSearchTerms = 5

func (c *MessageSearchConfig) check(op string) *Error {
	if len(c.Keywords) > maxSearchTerms || len(c.SenderUserIDs) > maxSearchTerms {
		return invalid(op, "there are %d keywords and %d senders, it may be %d each", len(c.Keywords), len(c.SenderUserIDs), maxSearchTerms)
	}
	if slices.Contains(c.Keywords, "") {
		return invalid(op, "a keyword is empty")
	}
	if slices.ContainsFunc(c.SubMessageTypes, func(n int) bool { return n < 0 || n > maxSubType }) {
		return invalid(op, "sub-types are 0 to %d", maxSubType)
	}
	if !c.StartTime.IsZero() && !c.EndTime.IsZero() && !c.EndTime.After(c.StartTime) {
		return invalid(op, "the end is not after the start")
	}
	if c.Count < 0 {
		return invalid(op, "the count is %d", c.Count)
	}
	return nil
}

// matches reports whether a message is what is looked for.
func (c *MessageSearchConfig) matches(m *Message) bool {
	if len(c.MessageTypes) > 0 && !slices.Contains(c.MessageTypes, m.Content.Type()) ||
		len(c.SenderUserIDs) > 0 && !slices.Contains(c.SenderUserIDs, m.Sender) ||
		!c.StartTime.IsZero() && m.Time.Before(c.StartTime) || !c.EndTime.IsZero() && m.Time.After(c.EndTime) {
		return false
	}
	if custom, ok := m.Content.(*CustomMessage); ok && len(c.SubMessageTypes) > 0 && !slices.Contains(c.SubMessageTypes, custom.SubType) {
		return false
	}
	text := strings.ToLower(searchable(m.Content))
	return !slices.ContainsFunc(c.Keywords, func(k string) bool { return !strings.Contains(text, strings.ToLower(k)) })
}

// searchable returns what a search finds a message by.
func searchable(c Content) string {
	switch c := c.(type) {
	case *TextMessage:
		return c.Message
	case *CustomMessage:
		return c.SearchedContent
	case *CombineMessage:
		return c.Title + "\n" + c.Summary
	case *MultipleMessage:
		var parts []string
		for _, item := range c.MessageInfoList {
			parts = append(parts, searchable(item))
		}
		return strings.Join(parts, "\n")
	default:
		if f := fileOf(c); f != nil {
			return f.Name
		}
		return ""
	}
}

// MessagesSearchedResult is a page of messages that were found.
type MessagesSearchedResult struct {
	MessageList []*Message
	TotalCount  int      // of all pages
	NextMessage *Message // asks for the next page; nil at the end
}

// SearchLocalMessages looks for messages of one conversation in this device's store. Of text messages it looks at the text, of custom ones at
// SearchedContent, of files at the name, of combine messages at title and summary. It fails with [ErrCommonParamsInvalid], and with
// [ErrDatabaseSeleteDatabaseError] if the local store does. (Documented in the chapter on searching.)
func (z *ZIM) SearchLocalMessages(ctx context.Context, c ConversationRef, config MessageSearchConfig) (*MessagesSearchedResult, error) {
	const op = "SearchLocalMessages"
	s, e := z.active(op)
	if e != nil {
		return nil, e
	}
	if c.Type == ConversationTypeRoom {
		return nil, invalid(op, "of rooms, no messages are kept")
	}
	return s.feed.search(op, []ConversationRef{c}, config)
}

// SearchGlobalLocalMessages is [ZIM.SearchLocalMessages] for all conversations.
func (z *ZIM) SearchGlobalLocalMessages(ctx context.Context, config MessageSearchConfig) (*MessagesSearchedResult, error) {
	const op = "SearchGlobalLocalMessages"
	s, e := z.active(op)
	if e != nil {
		return nil, e
	}
	list, err := s.feed.localConversations(op)
	if err != nil {
		return nil, err
	}
	return s.feed.search(op, list, config)
}

// localConversations returns the conversations of which the local store has something.
func (f *feed) localConversations(op string) ([]ConversationRef, error) {
	list, err := f.z.local.Conversations(f.userID)
	if err != nil {
		return nil, &Error{Op: op, Code: ErrDatabaseSeleteDatabaseError, Err: err}
	}
	return slices.DeleteFunc(slices.Clone(list), func(c ConversationRef) bool { return c.Type == ConversationTypeRoom }), nil
}

func (f *feed) search(op string, refs []ConversationRef, config MessageSearchConfig) (*MessagesSearchedResult, error) {
	if err := config.check(op); err != nil {
		return nil, err
	}
	var found []*Message
	for _, c := range refs {
		kept, err := f.z.local.Messages(f.userID, c)
		if err != nil {
			return nil, &Error{Op: op, Code: ErrDatabaseSeleteDatabaseError, Err: err}
		}
		for _, m := range kept {
			if config.matches(m) {
				found = append(found, m)
			}
		}
	}
	order := func(a, b *Message) int {
		n := cmp.Or(cmp.Compare(a.OrderKey, b.OrderKey), cmp.Compare(a.LocalKey(), b.LocalKey()))
		if config.Order == MessageOrderDescending {
			return -n
		}
		return n
	}
	slices.SortStableFunc(found, order)
	result := &MessagesSearchedResult{MessageList: found, TotalCount: len(found)}
	if next := config.NextMessage; next != nil {
		// It may have been deleted since.
		i := slices.IndexFunc(found, func(m *Message) bool { return order(m, next) > 0 })
		if i < 0 {
			i = len(found)
		}
		result.MessageList = found[i:]
	}
	count := config.Count
	if count == 0 {
		count = 20
	}
	if len(result.MessageList) > count {
		result.MessageList = result.MessageList[:count:count]
		result.NextMessage = result.MessageList[count-1]
	}
	return result, nil
}

// ConversationSearchConfig says what to look for in this device's store: see AppConfig.LocalStore. Empty fields leave nothing out.
type ConversationSearchConfig struct {
	Mode                     ConversationSearchMode // by what their messages say, or by their names
	NextFlag                 int                    // what the page before returned; zero asks for the first page
	TotalConversationCount   int                    // how many conversations are wanted; zero means 10
	ConversationMessageCount int                    // how many messages of each are wanted; zero means 10
	Keywords                 []string               // as in MessageSearchConfig
	MessageTypes             []MessageType
	SubMessageTypes          []int
	SenderUserIDs            []string
	StartTime                time.Time
	EndTime                  time.Time
}

// ConversationSearchInfo is a conversation that was found.
type ConversationSearchInfo struct {
	Ref               ConversationRef
	Conversation      *Conversation // nil if this device only knows messages of it
	TotalMessageCount int           // how many messages were found in it
	MessageList       []*Message    // the newest of them, first
}

// ConversationsSearchedResult is a page of conversations that were found.
type ConversationsSearchedResult struct {
	ConversationSearchInfoList []ConversationSearchInfo
	TotalConversationCount     int // of all pages
	NextFlag                   int // asks for the next page; zero at the end
}

// SearchLocalConversations looks for conversations in this device's store, by what their messages say or by their names, as far as this
// device has seen those. It fails as [ZIM.SearchLocalMessages].
func (z *ZIM) SearchLocalConversations(ctx context.Context, config ConversationSearchConfig) (*ConversationsSearchedResult, error) {
	const op = "SearchLocalConversations"
	s, e := z.active(op)
	if e != nil {
		return nil, e
	}
	by := MessageSearchConfig{
		Count: config.ConversationMessageCount, Keywords: config.Keywords, MessageTypes: config.MessageTypes, SubMessageTypes: config.SubMessageTypes,
		SenderUserIDs: config.SenderUserIDs, StartTime: config.StartTime, EndTime: config.EndTime,
	}
	if by.Count == 0 {
		by.Count = 10
	}
	if err := by.check(op); err != nil {
		return nil, err
	}
	if config.NextFlag < 0 || config.TotalConversationCount < 0 {
		return nil, invalid(op, "the flag is %d, the count %d", config.NextFlag, config.TotalConversationCount)
	}
	var found []ConversationSearchInfo
	var err error
	if config.Mode == ConversationSearchModeMatchConversationName {
		found = s.feed.chats.named(config.Keywords)
	} else if found, err = s.feed.searchConversations(op, by); err != nil {
		return nil, err
	}
	result := &ConversationsSearchedResult{TotalConversationCount: len(found)}
	found = found[min(config.NextFlag, len(found)):]
	count := config.TotalConversationCount
	if count == 0 {
		count = 10
	}
	if len(found) > count {
		found = found[:count]
		result.NextFlag = config.NextFlag + count
	}
	result.ConversationSearchInfoList = found
	return result, nil
}

// searchConversations returns the conversations that have messages that are looked for, the newest such message first.
func (f *feed) searchConversations(op string, by MessageSearchConfig) ([]ConversationSearchInfo, error) {
	refs, err := f.localConversations(op)
	if err != nil {
		return nil, err
	}
	var found []ConversationSearchInfo
	for _, c := range refs {
		page, err := f.search(op, []ConversationRef{c}, by)
		if err != nil {
			return nil, err
		}
		if page.TotalCount > 0 {
			found = append(found, ConversationSearchInfo{
				Ref: c, Conversation: f.chats.find(c), TotalMessageCount: page.TotalCount, MessageList: page.MessageList,
			})
		}
	}
	slices.SortFunc(found, func(a, b ConversationSearchInfo) int {
		return cmp.Compare(b.MessageList[0].OrderKey, a.MessageList[0].OrderKey)
	})
	return found, nil
}

// find returns a conversation if it is known.
func (c *chats) find(ref ConversationRef) *Conversation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[ref]
}

// named returns the known conversations whose names have all keywords, the newest first.
func (c *chats) named(keywords []string) []ConversationSearchInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []ConversationSearchInfo
	for ref, v := range c.known {
		name := strings.ToLower(v.ConversationName)
		if !slices.ContainsFunc(keywords, func(k string) bool { return !strings.Contains(name, strings.ToLower(k)) }) {
			found = append(found, ConversationSearchInfo{Ref: ref, Conversation: v})
		}
	}
	slices.SortFunc(found, func(a, b ConversationSearchInfo) int {
		return cmp.Or(cmp.Compare(b.Conversation.OrderKey, a.Conversation.OrderKey), cmp.Compare(a.Ref.ID, b.Ref.ID))
	})
	return found
}

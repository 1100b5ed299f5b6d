package zim

import (
	"image"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/payload"
	"github.com/zim-go/zim/wire"
)

// checkContent holds content against the limits of its kind.
func (l *Limits) checkContent(op string, content Content) *Error {
	switch c := content.(type) {
	case nil:
		return invalid(op, "the content is nil")
	case *TextMessage:
		return checkMessageText(op, "text", c.Message, l.TextSize)
	case *BarrageMessage:
		return checkMessageText(op, "barrage", c.Message, l.BarrageSize)
	case *CommandMessage:
		if len(c.Message) == 0 {
			return invalid(op, "the command is empty")
		}
		if len(c.Message) > l.CommandSize {
			return invalid(op, "the command has %d bytes, the limit is %d", len(c.Message), l.CommandSize)
		}
	case *CustomMessage:
		if c.SubType < 0 || c.SubType > maxSubType {
			return invalid(op, "the sub-type is %d, it may be 0 to %d", c.SubType, maxSubType)
		}
		if err := checkText(op, "searched content", c.SearchedContent, maxSearched); err != nil {
			return err
		}
		return checkMessageText(op, "custom message", c.Message, l.CustomSize)
	case *ImageMessage:
		return l.checkFile(op, content, &c.File, 0, c.LargeImageDownloadUrl, c.ThumbnailDownloadUrl)
	case *FileMessage:
		return l.checkFile(op, content, &c.File, 0)
	case *AudioMessage:
		return l.checkFile(op, content, &c.File, c.AudioDuration)
	case *VideoMessage:
		return l.checkFile(op, content, &c.File, c.VideoDuration, c.VideoFirstFrameDownloadUrl)
	case *MultipleMessage:
		return l.checkMultiple(op, c)
	case *CombineMessage:
		return checkCombine(op, c)
	case *RevokeMessage, *TipsMessage:
		return invalid(op, "only the service makes messages of the type %v", content.Type())
	case *UnknownMessage:
		if c.Kind <= 0 {
			return invalid(op, "the kind of the message is %d", c.Kind)
		}
	default:
		return invalid(op, "a %T is no content", content) // a type of the application's that embeds one
	}
	return nil
}

func checkMessageText(op, what, s string, limit int) *Error {
	if err := checkText(op, what, s, limit); err != nil {
		return err
	}
	if strings.TrimSpace(s) == "" {
		return invalid(op, "the %s is blank", what)
	}
	return nil
}

func (l *Limits) checkMultiple(op string, m *MultipleMessage) *Error {
	if n := len(m.MessageInfoList); n == 0 || n > maxItems {
		return invalid(op, "the message has %d items, it may have 1 to %d", n, maxItems)
	}
	files, customs := 0, 0
	for i, item := range m.MessageInfoList {
		switch item.(type) {
		case *ImageMessage, *FileMessage, *AudioMessage, *VideoMessage:
			files++
		case *CustomMessage:
			customs++
		case *TextMessage:
		default:
			return invalid(op, "item %d of the message is a %T", i, item)
		}
		if err := l.checkContent(op, item); err != nil {
			return err
		}
	}
	if files > maxMediaItems || customs > 1 {
		return invalid(op, "the message has %d files and %d custom items, it may have %d and 1", files, customs, maxMediaItems)
	}
	return nil
}

func checkCombine(op string, c *CombineMessage) *Error {
	if err := checkMessageText(op, "title", c.Title, maxTitle); err != nil {
		return err
	}
	if err := checkMessageText(op, "summary", c.Summary, maxSummary); err != nil {
		return err
	}
	if n := len(c.MessageList); n > maxCombined || n == 0 && c.CombineID == "" {
		return invalid(op, "%d messages are to be combined, it may be 1 to %d", n, maxCombined)
	}
	for i, m := range c.MessageList {
		if m == nil || m.Seq == 0 || m.Conversation.Type == ConversationTypeRoom {
			return invalid(op, "message %d of those to be combined is not stored", i)
		}
		switch m.Content.(type) {
		case *CommandMessage, *BarrageMessage, *RevokeMessage, *TipsMessage:
			return invalid(op, "message %d of those to be combined is a %T", i, m.Content)
		default:
		}
	}
	return nil
}

// The documented formats, by the extension of the file's name. A FileMessage may have any.
var formats = map[MessageType][]string{
	MessageTypeImage: {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tiff", ".webp", ".heic", ".heif"},
	MessageTypeAudio: {".mp3", ".m4a"},
	MessageTypeVideo: {".mp4", ".mov"},
}

// checkFile checks what a media message is about, as far as the file itself is not needed.
func (l *Limits) checkFile(op string, content Content, f *File, duration time.Duration, more ...string) *Error {
	typ := content.Type()
	if f.URL == "" && f.Path == "" && f.Reader == nil && f.object == "" {
		return invalid(op, "the file has no path, no reader and no URL")
	}
	for _, u := range append(more, f.URL) {
		if len(u) > maxURL || !utf8.ValidString(u) {
			return &Error{Op: op, Code: ErrMessageFileDownloadUrlNotFound, Message: "a URL is no text of up to 500 bytes"}
		}
	}
	name := f.name()
	if name == "" || len(name) > maxFileName || !utf8.ValidString(name) {
		return invalid(op, "the file's name must be text of 1 to %d bytes", maxFileName)
	}
	if good := formats[typ]; good != nil && !slices.Contains(good, strings.ToLower(path.Ext(name))) {
		return &Error{Op: op, Code: ErrMessageFileTypeUnsupported, Message: "the name ends in none of " + strings.Join(good, " ")}
	}
	if duration < 0 || typ == MessageTypeAudio && duration > l.AudioDuration {
		return &Error{Op: op, Code: ErrMessageFileDurationInvalid, Message: "the duration is " + duration.String()}
	}
	if f.URL == "" && duration < time.Second && (typ == MessageTypeAudio || typ == MessageTypeVideo) {
		return invalid(op, "an audio or video file needs its duration, of a second at least")
	}
	if f.Size < 0 || f.URL == "" && f.Size > l.fileSize(typ) {
		return l.tooLarge(op, typ, f.Size)
	}
	return nil
}

func (l *Limits) fileSize(typ MessageType) int64 {
	return map[MessageType]int64{
		MessageTypeImage: l.ImageSize, MessageTypeFile: l.FileSize, MessageTypeAudio: l.AudioSize, MessageTypeVideo: l.VideoSize,
	}[typ]
}

// EncodeContent returns content as it travels, and its type. It is for servers that make messages of their own: see
// [ZIM.SendMessage] for sending them. Files must have a URL.
func EncodeContent(content Content) (MessageType, []byte, error) {
	const op = "EncodeContent"
	var limits Limits
	if err := limits.fill(op); err != nil {
		return 0, nil, err
	}
	if err := limits.checkContent(op, content); err != nil {
		return 0, nil, err
	}
	data, err := encodeContent(content)
	if err != nil {
		return 0, nil, invalid(op, "%v", err)
	}
	return content.Type(), data, nil
}

// encodeContent returns content as it travels. Files must be there: see [session.upload].
func encodeContent(content Content) ([]byte, error) {
	switch c := content.(type) {
	case *TextMessage:
		return payload.Append(make([]byte, 0, payload.Size(len(c.Message))), c.Message), nil
	case *BarrageMessage:
		return payload.Append(make([]byte, 0, payload.Size(len(c.Message))), c.Message), nil
	case *CommandMessage:
		return payload.Append(make([]byte, 0, payload.Size(len(c.Message))), c.Message), nil
	case *CustomMessage:
		return proto.Marshal(&wire.CustomContent{Message: c.Message, SubType: int32(c.SubType), SearchedContent: c.SearchedContent})
	case *ImageMessage:
		w := &wire.ImageContent{File: c.wire(), Size: wireSize(c.OriginalImageSize)}
		w.LargeUrl, w.LargeSize = c.LargeImageDownloadUrl, wireSize(c.LargeImageSize)
		w.ThumbnailUrl, w.ThumbnailSize = c.ThumbnailDownloadUrl, wireSize(c.ThumbnailSize)
		return proto.Marshal(w)
	case *FileMessage:
		return proto.Marshal(&wire.FileContent{File: c.wire()})
	case *AudioMessage:
		return proto.Marshal(&wire.AudioContent{File: c.wire(), Duration: int64(c.AudioDuration / time.Second)})
	case *VideoMessage:
		return proto.Marshal(&wire.VideoContent{
			File: c.wire(), Duration: int64(c.VideoDuration / time.Second),
			FirstFrameUrl: c.VideoFirstFrameDownloadUrl, FirstFrameSize: wireSize(c.VideoFirstFrameSize),
		})
	case *MultipleMessage:
		w := new(wire.MultipleContent)
		for i, item := range c.MessageInfoList {
			if slices.Contains(c.FailedIndexList, i) {
				continue
			}
			b, err := encodeContent(item)
			if err != nil {
				return nil, err
			}
			w.Items = append(w.Items, &wire.MultipleItem{Type: int32(item.Type()), Content: b})
		}
		return proto.Marshal(w)
	case *CombineMessage:
		w := &wire.CombineContent{Title: c.Title, Summary: c.Summary}
		for _, m := range c.MessageList {
			w.Messages = append(w.Messages, wireMessageRef(m))
		}
		if len(w.Messages) == 0 {
			w.CombineId = c.CombineID
		}
		return proto.Marshal(w)
	case *UnknownMessage:
		return c.Data, nil
	case *RevokeMessage, *TipsMessage:
		// checkContent refuses them.
	}
	panic("zim: content of a kind that is not sent")
}

// decodeContent is the inverse of encodeContent. It may keep data. What can't be decoded is unknown.
func decodeContent(kind MessageType, data []byte, files *fileServer) Content {
	if c := tryDecode(kind, data, files); c != nil {
		return c
	}
	return &UnknownMessage{Kind: kind, Data: data}
}

func tryDecode(kind MessageType, data []byte, files *fileServer) Content {
	switch kind {
	case MessageTypeText, MessageTypeBarrage:
		text, ok := decodeText(data)
		switch {
		case ok && kind == MessageTypeText:
			return &TextMessage{Message: text}
		case ok:
			return &BarrageMessage{Message: text}
		}
	case MessageTypeCommand:
		if v, ok := payload.Split(data); ok {
			return &CommandMessage{Message: v}
		}
		var c wire.CommandContent
		if proto.Unmarshal(data, &c) == nil {
			return &CommandMessage{Message: c.Message}
		}
	case MessageTypeCustom:
		var c wire.CustomContent
		if proto.Unmarshal(data, &c) == nil {
			return &CustomMessage{Message: c.Message, SubType: int(c.SubType), SearchedContent: c.SearchedContent}
		}
	case MessageTypeImage:
		var c wire.ImageContent
		if proto.Unmarshal(data, &c) == nil {
			return &ImageMessage{
				File: files.file(c.File), OriginalImageSize: point(c.Size),
				LargeImageDownloadUrl: files.resolve(c.File, c.LargeUrl), LargeImageSize: point(c.LargeSize),
				ThumbnailDownloadUrl: files.resolve(c.File, c.ThumbnailUrl), ThumbnailSize: point(c.ThumbnailSize),
			}
		}
	case MessageTypeFile:
		var c wire.FileContent
		if proto.Unmarshal(data, &c) == nil {
			return &FileMessage{File: files.file(c.File)}
		}
	case MessageTypeAudio:
		var c wire.AudioContent
		if proto.Unmarshal(data, &c) == nil {
			return &AudioMessage{File: files.file(c.File), AudioDuration: seconds(c.Duration)}
		}
	case MessageTypeVideo:
		var c wire.VideoContent
		if proto.Unmarshal(data, &c) == nil {
			return &VideoMessage{
				File: files.file(c.File), VideoDuration: seconds(c.Duration),
				VideoFirstFrameDownloadUrl: c.FirstFrameUrl, VideoFirstFrameSize: point(c.FirstFrameSize),
			}
		}
	case MessageTypeMultiple:
		var c wire.MultipleContent
		if proto.Unmarshal(data, &c) == nil {
			m := new(MultipleMessage)
			for _, item := range c.Items {
				kind := MessageType(item.GetType())
				if kind == MessageTypeMultiple { // there is no such item, and no depth of them
					m.MessageInfoList = append(m.MessageInfoList, &UnknownMessage{Kind: kind, Data: item.GetContent()})
					continue
				}
				m.MessageInfoList = append(m.MessageInfoList, decodeContent(kind, item.GetContent(), files))
			}
			return m
		}
	case MessageTypeCombine:
		var c wire.CombineContent
		if proto.Unmarshal(data, &c) == nil {
			return &CombineMessage{Title: c.Title, Summary: c.Summary, CombineID: c.CombineId}
		}
	case MessageTypeRevoke:
		var c wire.RevokeContent
		if proto.Unmarshal(data, &c) == nil {
			return &RevokeMessage{
				RevokeType: RevokeType(c.RevokeType), RevokeTime: timeOf(c.RevokeTimeMs), RevokeStatus: MessageRevokeStatus(c.Status),
				OperatedUserID: c.OperatorUserId, OriginalMessageType: MessageType(c.OriginalType),
				OriginalTextMessageContent: c.OriginalText, RevokeExtendedData: c.ExtendedData,
			}
		}
	case MessageTypeTips:
		var c wire.TipsContent
		if proto.Unmarshal(data, &c) == nil {
			return tips(&c)
		}
	}
	return nil
}

func decodeText(data []byte) (string, bool) {
	if v, ok := payload.Split(data); ok && utf8.Valid(v) {
		return string(v), true
	}
	var c wire.TextContent
	err := proto.Unmarshal(data, &c)
	return c.Message, err == nil
}

func tips(c *wire.TipsContent) *TipsMessage {
	m := &TipsMessage{Event: TipsMessageEvent(c.Event), OperatedUser: tipsUser(c.Operator)}
	for _, u := range c.Targets {
		m.TargetUserList = append(m.TargetUserList, tipsUser(u))
	}
	if ch := c.Change; ch != nil {
		m.ChangeInfo = &TipsMessageChangeInfo{
			Type: TipsMessageChangeInfoType(ch.Type), GroupDataFlag: int(ch.GroupDataFlag), GroupName: ch.GroupName,
			GroupNotice: ch.GroupNotice, GroupAvatarUrl: ch.GroupAvatarUrl, MemberRole: int(ch.MemberRole),
			MuteExpiredTime: ch.MuteExpiredTime, GroupNewOwner: tipsUser(ch.GroupNewOwner), IsPinned: ch.IsPinned,
		}
	}
	return m
}

func tipsUser(u *wire.TipsUser) *GroupMemberSimpleInfo {
	if u == nil {
		return nil
	}
	return &GroupMemberSimpleInfo{
		UserInfo: UserInfo{UserID: u.UserId, UserName: u.UserName}, MemberNickname: u.MemberNickname, MemberRole: int(u.MemberRole),
	}
}

func wireSize(p image.Point) *wire.Size {
	if p == (image.Point{}) {
		return nil
	}
	return &wire.Size{Width: int32(p.X), Height: int32(p.Y)}
}

func point(s *wire.Size) image.Point { return image.Pt(int(s.GetWidth()), int(s.GetHeight())) }

func seconds(n int64) time.Duration { return time.Duration(min(max(n, 0), 1<<31)) * time.Second }

// timeOf returns the time of a number of Unix milliseconds, zero for zero.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

package zim

import (
	"image"
	"time"
)

// Content is what a message says: one of *[TextMessage], *[CommandMessage], *[MultipleMessage], *[ImageMessage],
// *[FileMessage], *[AudioMessage], *[VideoMessage], *[BarrageMessage], *[CombineMessage] and *[CustomMessage], of those that
// only the service makes *[RevokeMessage] and *[TipsMessage], or *[UnknownMessage] for kinds that are newer than this version.
//
//sumtype:decl
type Content interface {
	// Type returns the documented number of the kind.
	Type() MessageType
	content()
}

// TextMessage is text. It is stored, and delivered reliably and in order. Up to 2 KB, and not blank.
type TextMessage struct {
	Message string
}

// CommandMessage is a signal whose bytes the application gives a meaning. It reaches those who are online: it is not stored,
// and neither its delivery nor its order is promised. Up to 5 KB, and not empty.
type CommandMessage struct {
	Message []byte
}

// BarrageMessage is a passing comment for a room. It is not stored, its delivery is not promised, and any number may be sent.
// Up to 5 KB, and not blank.
type BarrageMessage struct {
	Message string
}

// CustomMessage is for kinds that the application makes up. It is stored, and delivered reliably and in order.
type CustomMessage struct {
	Message         string // up to 2 KB, and not blank
	SubType         int    // the application's kind, 0 to 200
	SearchedContent string // what a search finds the message by; up to 64 bytes
}

// ImageMessage is an image of up to 10 MB, in a file whose name ends in jpg, jpeg, png, bmp, gif, tiff, webp, heic or heif. The
// service makes a large image and a thumbnail of a file that is sent. For one that is hosted elsewhere, the sender may tell where
// they are. The sizes are zero where they are not known.
type ImageMessage struct {
	File
	LargeImageDownloadUrl string
	ThumbnailDownloadUrl  string
	OriginalImageSize     image.Point
	LargeImageSize        image.Point
	ThumbnailSize         image.Point
}

// FileMessage is a file of any kind, of up to 100 MB.
type FileMessage struct {
	File
}

// AudioMessage is a recording of up to 6 MB and 300 seconds, in a file whose name ends in mp3 or m4a.
type AudioMessage struct {
	File
	AudioDuration time.Duration // whole seconds; required for a file that is sent
}

// VideoMessage is a video of up to 100 MB, in a file whose name ends in mp4 or mov.
type VideoMessage struct {
	File
	VideoDuration              time.Duration // whole seconds; required for a file that is sent
	VideoFirstFrameDownloadUrl string
	VideoFirstFrameSize        image.Point
}

// MultipleMessage is several items in one message: up to 20 texts, files and custom messages, with up to 10 files and one custom
// message among them. Items are of the types *[TextMessage], *[CustomMessage], *[ImageMessage], *[FileMessage], *[AudioMessage]
// and *[VideoMessage].
type MultipleMessage struct {
	MessageInfoList []Content
	// FailedIndexList names the items whose files could not be uploaded, in a message that was sent nevertheless: see
	// MessageSendConfig.IsAllowMultipleMessagePartialFailed. Only the message that SendMessage returns has it, and those items.
	FailedIndexList []int
}

// CombineMessage is several messages, forwarded as one.
type CombineMessage struct {
	Title   string // up to 20 bytes, and not blank
	Summary string // up to 100 bytes, and not blank
	// CombineID names what was combined. The service gives it.
	CombineID string
	// MessageList is what to combine, when it is sent: up to 300 messages that this user can see, other combine messages among
	// them, but no commands, barrages, tips or revoked messages. In messages that were sent or received it is empty:
	// [ZIM.QueryCombineMessageDetail] gets it.
	MessageList []*Message
}

// RevokeMessage stands in the place of a message that was revoked.
type RevokeMessage struct {
	RevokeType                 RevokeType
	RevokeTime                 time.Time
	RevokeStatus               MessageRevokeStatus // in which capacity somebody revoked it
	OperatedUserID             string              // who did
	OriginalMessageType        MessageType
	OriginalTextMessageContent string // if it was a text
	RevokeExtendedData         string
}

// TipsMessage is a note of the service about a group. Services send none unless they are told to.
type TipsMessage struct {
	Event          TipsMessageEvent
	OperatedUser   *GroupMemberSimpleInfo // who did it
	TargetUserList []*GroupMemberSimpleInfo
	ChangeInfo     *TipsMessageChangeInfo // what changed; nil if the event says it all
}

// TipsMessageChangeInfo is what changed. Type says which fields count.
type TipsMessageChangeInfo struct {
	Type            TipsMessageChangeInfoType
	GroupDataFlag   int // which of them changed: 1 name, 2 notice, 4 avatar
	GroupName       string
	GroupNotice     string
	GroupAvatarUrl  string
	MemberRole      int
	MuteExpiredTime int64 // Unix seconds; -1 for good
	GroupNewOwner   *GroupMemberSimpleInfo
	IsPinned        bool
}

// UnknownMessage is a message of a kind that this version does not know. It can be sent on as it is.
type UnknownMessage struct {
	Kind MessageType
	Data []byte // as it travels
}

func (*TextMessage) Type() MessageType      { return MessageTypeText }
func (*CommandMessage) Type() MessageType   { return MessageTypeCommand }
func (*MultipleMessage) Type() MessageType  { return MessageTypeMultiple }
func (*ImageMessage) Type() MessageType     { return MessageTypeImage }
func (*FileMessage) Type() MessageType      { return MessageTypeFile }
func (*AudioMessage) Type() MessageType     { return MessageTypeAudio }
func (*VideoMessage) Type() MessageType     { return MessageTypeVideo }
func (*BarrageMessage) Type() MessageType   { return MessageTypeBarrage }
func (*CombineMessage) Type() MessageType   { return MessageTypeCombine }
func (*CustomMessage) Type() MessageType    { return MessageTypeCustom }
func (*RevokeMessage) Type() MessageType    { return MessageTypeRevoke }
func (*TipsMessage) Type() MessageType      { return MessageTypeTips }
func (m *UnknownMessage) Type() MessageType { return m.Kind }

func (*TextMessage) content()     {}
func (*CommandMessage) content()  {}
func (*MultipleMessage) content() {}
func (*ImageMessage) content()    {}
func (*FileMessage) content()     {}
func (*AudioMessage) content()    {}
func (*VideoMessage) content()    {}
func (*BarrageMessage) content()  {}
func (*CombineMessage) content()  {}
func (*CustomMessage) content()   {}
func (*RevokeMessage) content()   {}
func (*TipsMessage) content()     {}
func (*UnknownMessage) content()  {}

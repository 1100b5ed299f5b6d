package zim

// Content is what a message says: one of *[TextMessage], *[CommandMessage] and *[CustomMessage], or *[UnknownMessage] for
// kinds that are newer than this version.
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

// CommandMessage is a signal whose bytes the application gives a meaning. It reaches the receiver if that is online: it is
// not stored, and neither its delivery nor its order is promised. Up to 5 KB, and not empty.
type CommandMessage struct {
	Message []byte
}

// CustomMessage is for kinds that the application makes up. It is stored, and delivered reliably and in order.
type CustomMessage struct {
	Message         string // up to 2 KB, and not blank
	SubType         int    // the application's kind, 0 to 200
	SearchedContent string // what a search finds the message by; up to 64 bytes
}

// UnknownMessage is a message of a kind that this version does not know. It can be sent on as it is.
type UnknownMessage struct {
	Kind MessageType
	Data []byte // as it travels
}

func (*TextMessage) Type() MessageType      { return MessageTypeText }
func (*CommandMessage) Type() MessageType   { return MessageTypeCommand }
func (*CustomMessage) Type() MessageType    { return MessageTypeCustom }
func (m *UnknownMessage) Type() MessageType { return m.Kind }

func (*TextMessage) content()    {}
func (*CommandMessage) content() {}
func (*CustomMessage) content()  {}
func (*UnknownMessage) content() {}

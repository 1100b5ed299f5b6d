// Package zim is a client for the ZIM instant-messaging API, for Go services and bots.
//
// A [ZIM] is one user's attachment to a service. Its life is the documented one:
//
//	z, err := zim.New(zim.AppConfig{AppID: appID, Transport: websocket.Dialer{URL: "wss://im.example.com/v1"}})
//	…
//	defer z.Destroy()
//	zim.On(z, func(ctx context.Context, e *zim.PeerMessageReceived) { … })
//	err = z.Login(ctx, "alice", &zim.LoginConfig{Token: tok})
//	m, err := z.SendMessage(ctx, &zim.TextMessage{Message: "hi"}, zim.Peer("bob"), nil)
//	err = z.Logout(ctx, nil)
//
// [New] makes as many ZIMs as a program has users. [Create] and [GetInstance] are the documented singleton, for programs that
// have one. What reaches the service is a [github.com/zim-go/zim/transport.Dialer]: packages transport/websocket and
// transport/inproc have one each. Package token makes the tokens that users log in with. The table docs/mapping.md tells for
// each documented name what it is called here.
//
// # Events
//
// [On] sets the handler for a type of event, and [Off] removes it. There is one handler for a type; with the type [Event], it
// gets what has no handler of its own. Handlers run one at a time, in the order in which things happened, on a goroutine of the
// ZIM's own. They may take their time, and may call any method, [ZIM.Login] and [ZIM.Destroy] included. A panic in a handler is
// not recovered.
//
// A slow handler loses no stored message and grows no memory: when AppConfig.EventBuffer messages wait, the rest waits at the
// service. What the service can't repeat, commands, is dropped then, and [EventsDropped] tells how much.
//
// # Messages
//
// A [Message] is an envelope around a [Content]: *[TextMessage], *[ImageMessage], *[CombineMessage] and so on. It goes to a
// [ConversationRef]: [Peer], [Group] or [Room]. [ZIM.SendMessage] sends it, [ZIM.ReplyMessage] answers one. What was sent can be
// edited ([ZIM.EditMessage]), withdrawn ([ZIM.RevokeMessage]), pinned ([ZIM.PinMessage]) and reacted to ([ZIM.AddMessageReaction]),
// and is in the history of users and groups: see [ZIM.HistoryMessages].
//
// A media message has a [File]: a path, a reader with its name and size, or the URL of something that is hosted elsewhere. It is
// uploaded first, a chunk at a time, whatever becomes of the connection meanwhile; MessageSendNotification tells the progress, and
// ending the context or [ZIM.CancelSendingMessage] stops it. [ZIM.DownloadMediaFile] gets it, or its thumbnail.
//
// # Conversations
//
// A [Conversation] is what the user has of the messages with one user or group: the last one, how many are unread, which mention
// the user. The service keeps it, the same for all of the user's devices; [ConversationChanged] tells how it changes, and [ZIM.Conversations]
// lists all. Drafts, messages that were inserted and the like are on this device alone, in AppConfig.LocalStore.
//
// # Pages
//
// A method called Query and something returns one page, up to what the documentation allows. The sequence beside it, as
// [ZIM.Conversations] beside [ZIM.QueryConversationList], gets page after page, and ends with the error of one that fails.
//
// # Connection
//
// After a login, the ZIM reconnects by itself and without end; [ConnectionStateChanged] tells how it stands. It is over after
// [ConnectionStateDisconnected]: by Logout, because another device logged in, because the token expired, or because the user
// is no longer registered. A program that logs in again then should not do so at once: the device that evicted this one may do
// the same.
//
// # What is promised
//
// An acknowledged message is on the service's disk, once, at the place in its conversation that Message.Seq tells, and the
// receiver's handler gets it once in the life of its process, in order, however often either side's connection breaks. A send
// ends in one of three ways: without an error; with an error, and then the message was not stored and won't be; or with an
// error that matches [ErrOutcomeUnknown], and then MessageSendConfig.Retry finds out without storing it twice. A
// [CommandMessage] is sent once or not at all, and nothing is promised of its delivery or order.
//
// A message that MessageSendConfig.Durable marks is on this machine's disk when SendMessage returns. It is sent in the order of its
// conversation, and stored once, by this run of the program or a later one, and [MessageSentStatusChanged] tells at least once how it ended.
// Other messages that are being sent when the program ends are lost, or stored without its knowledge.
//
// # Errors
//
// Every error is an [*Error], and matches its documented [Code]:
//
//	if errors.Is(err, zim.ErrNetworkTokenExpired) { … }
//
// It also matches what caused it: a context's error, [errors.ErrUnsupported], ErrOutcomeUnknown.
//
// # Contexts
//
// The context of a call bounds its waiting, and nothing else: it does not end the session, and canceling it harms no other
// call.
package zim

// Package cloud is the transport to the real ZIM service, through the documented API and callbacks that it has for servers.
//
// A [Service] stands for one app at the service. Any number of ZIMs share it, one for each bot or user:
//
//	service := &cloud.Service{AppID: appID, ServerSecret: secret}
//	bot, err := zim.New(zim.AppConfig{AppID: appID, Transport: service})
//	err = bot.Login(ctx, "@RBT#helper", &zim.LoginConfig{Token: "-"})
//
// # Logging in
//
// A login registers its user, as a bot if the ID begins with @RBT#, or finds that it is registered. The service knows no sessions of such users:
// they look absent to others, nobody is kicked out, and the token is not looked at (it may be any text but the empty one). LoginConfig.UserName is
// set; the custom status has no counterpart. Who has the app's ServerSecret can be any user.
//
// # Events
//
// The service tells what happens by HTTP callbacks, of the whole app, and a Service is the [http.Handler] for all of them:
//
//	service.CallbackSecret = callbackSecret
//	http.Handle("POST /zim/callback", service)
//
// The URL is registered with the service, and must be reached from there; events to choose are send_msg, bot_msg, group_create, group_join, group_exit,
// group_destroy, room_enter, room_exit and room_destroy, and before_send_msg for OnModeration. [Service.ServeHTTP] says how they are verified and
// answered. Each user who is logged in here gets what concerns it, once, and until its handlers returned:
//
//   - Messages to it, but no commands and barrages. What the user itself has sent, anywhere, brings no event. An edit is known by its being a second
//     message with the same ID, and so only if the first one came here within a quarter of an hour before; else it is a message. One that goes
//     back to what the message said within that time can't be told from a late repetition, and is taken for one.
//   - Messages and members of its groups. Callbacks don't say who is in a group, so that a login asks for the user's groups, for up to 5 seconds; what
//     can't be found out is logged, and the login goes well. Members come without nicknames and roles.
//   - Messages and members of the rooms that it has entered here.
//   - Conversations, as far as they can be read: the total of unread messages is always zero.
//
// Nothing tells of revocations, receipts, reactions, profiles, and of changes to the attributes of groups. What comes is kept in memory, unless there is a
// [Service.Dir]: a program that ends loses what its handlers have not seen, and so does a user who stays away for 10 minutes. History has it. One process
// has to have all users of an app that get events, or the callbacks must be sent on to each.
//
// # Restarts
//
// With a [Service.Dir], a callback is answered when what it told is on the disk, and that it was answered, too. The next program goes on where
// handlers were, also after a crash or a power cut: logins within 10 minutes bring what was not handled, and what came before them; a callback that comes
// again within a quarter of an hour brings nothing. So all is handled once, but for the last two seconds or so before a crash: what was handled
// then may come again. What is in rooms is not kept, and a verdict of OnModeration is given before it is. A program
// that logs its ZIMs out, and then calls [Service.Shutdown], sees nothing again whose handlers had returned.
//
// If Dir can't be written to, callbacks are answered 503, and taken when it can be again, as when a full disk has room. After a failed sync, none
// is taken until a restart. If what Dir has is damaged, or of a newer version, Dial fails, callbacks are answered 503, and the file stays as it
// is; only damage to what came last looks like the trace of a crash, and is left out like one.
//
// # What works
//
// docs/mapping.md says it for each method; the others fail with [errors.ErrUnsupported]. Some differ:
//
//   - A message that was sent has no time of the service's, and one to a room neither ID nor number. Files must be given by URL. Mentions can't be
//     sent, nor can replies and combined messages.
//   - Nobody reads how much is unread, what is pinned, muted or marked: conversations have their ID, type, last message and order.
//   - History goes from new messages to old ones only, without reactions, receipts and quotes.
//   - What goes over all conversations does them one by one, as fast as the rates allow, and stops when the call's time is over: then with some undone.
//   - A group with settings takes two requests. If the second one fails, the group is dismissed, which may use its ID up; the error says so, or that it exists.
//   - A room is entered in this process alone: others don't see it.
//   - The service checks no permissions. This package refuses to dismiss a group unless the user owns it, to remove others unless the user is the owner or
//     an administrator, and to join a group that isn't open.
//
// # Sending, when an answer is missing
//
// The service would not know a message again that is sent twice. So a send without an answer, or with one that leaves it open whether it was
// done, ends with zim.ErrOutcomeUnknown, and nothing repeats it by itself. Each message carries its local ID behind its extended data: a line break, "zim:" and the 16
// bytes in unpadded URL-safe Base64, 27 bytes together, for which the limit of 1024 bytes must have room. Messages that come lose it again. By it, a
// send with MessageSendConfig.Retry looks for the message among the newest 100 of the conversation before it sends it again, and [Service.CheckSent] tells
// whether it is there.
//
// # Rates
//
// Requests wait for their turn, by action and for some also by group or room, at 0.95 of what the documentation allows the whole app. When the service
// refuses one because others use the same quota, nothing of its kind is sent for a second. What would have to wait for longer than its context allows
// fails with zim.ErrCommonTriggerServerFrequencyLimit.
package cloud

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport"
)

// A Region is where the service is reached.
type Region string

// The regions that there are. The nearest to this program is the best.
const (
	RegionAny        Region = "" // the service chooses
	RegionShanghai   Region = "sha"
	RegionHongKong   Region = "hkg"
	RegionFrankfurt  Region = "fra"
	RegionCalifornia Region = "lax"
	RegionMumbai     Region = "bom"
	RegionSingapore  Region = "sgp"
)

// A Service is an app at the ZIM service. It implements [transport.Dialer] and, for the app's callbacks, [http.Handler]. All of its methods may be called
// concurrently. Its fields must not be changed once it is in use, nor may it be copied.
//
// The methods that do something at the service wait for their turn, fail with an [*Error] for a refusal, with an error that wraps
// [transport.ErrOutcomeUnknown] if they are not safe to repeat and may have been done, and with ctx's error.
type Service struct {
	AppID        uint32       // required
	ServerSecret token.Secret // signs requests. Required

	// CallbackSecret is what the callbacks are signed with; without one, all are answered 503, and no events come. While the secret is changed,
	// PreviousCallbackSecret is also good.
	CallbackSecret         token.Secret
	PreviousCallbackSecret token.Secret

	Region  Region // ignored if BaseURL is set
	BaseURL string // another service that has the same API, such as our backend. Empty: the real one

	NoLimits bool // the service takes any number of calls, as our backend does if it is told to: none waits for its turn

	HTTPClient *http.Client // nil means one of its own. Redirects are never followed
	Logger     *slog.Logger // never gets secrets, content or URLs. Nil discards

	// Operator is a registered user in whose name users are brought into groups that they join: the service has no other way. Empty means that
	// JoinGroup is not supported.
	Operator string

	// OnModeration decides about messages before they are sent: see [Moderation]. If it is nil, DefaultVerdict does.
	OnModeration func(ctx context.Context, m *Moderation) Verdict

	// DefaultVerdict is for messages about which OnModeration does not decide in time, or at all. Zero leaves them to the service's own moderation.
	DefaultVerdict Verdict

	// Dir is a directory of this Service's own, made if there is none, that keeps what callbacks told until the handlers returned, in files of
	// at most a few 100 MB that no other user of the system may read: see Restarts. It must be on a local disk. One Service at a time has it,
	// from the first Dial or callback until Shutdown or the end of the process. Empty means that all is kept in memory.
	Dir string

	calls  callState
	events eventState
}

// callState is what requests share.
type callState struct {
	once   sync.Once
	err    error // the configuration is wrong
	base   *url.URL
	client *http.Client
	limits limits
	offset atomic.Int64 // how much later the service's clock is, in nanoseconds
}

// start checks the configuration, once.
func (s *Service) start() (*callState, error) {
	st := &s.calls
	st.once.Do(func() { st.err = s.configure(st) })
	return st, st.err
}

func (s *Service) configure(st *callState) error {
	wrong := func(what string) error { return fmt.Errorf("cloud: %s: %w", what, transport.ErrMisconfigured) }
	if s.AppID == 0 || s.ServerSecret == "" {
		return wrong("AppID or ServerSecret is missing")
	}
	base := s.BaseURL
	if base == "" {
		host := "zim-api"
		if strings.Trim(string(s.Region), "abcdefghijklmnopqrstuvwxyz") != "" {
			return wrong("Region is none")
		}
		if s.Region != RegionAny {
			host += "-" + string(s.Region)
		}
		base = "https://" + host + ".zego.im/"
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return wrong("BaseURL is no URL of http or https")
	}
	if u.Path == "" {
		u.Path = "/"
	}
	client := &http.Client{}
	if s.HTTPClient != nil {
		client = new(*s.HTTPClient)
	}
	// Whoever gets a signed URL can use it.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	st.base, st.client = u, client
	return nil
}

func (s *Service) log() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

// Dial implements [transport.Dialer]. It reaches nothing: the first request does. The first one reads what Dir has. It fails with
// [transport.ErrMisconfigured], also if Dir can't be used.
func (s *Service) Dial(ctx context.Context) (transport.Conn, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if _, err := s.start(); err != nil {
		return nil, err
	}
	in, err := s.openInbox()
	if err != nil {
		return nil, err
	}
	return newConn(s, in), nil
}

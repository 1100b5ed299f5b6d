package zim

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/defect"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// Version is the version of this SDK.
const Version = "0.1.0"

// GetVersion returns the version of this SDK.
func GetVersion() string { return Version }

// AppConfig says which application to be and how to reach the service. The documented AppSign is for the vendor's own
// platforms: this SDK logs in with tokens.
type AppConfig struct {
	AppID uint32 // required

	// Transport reaches the service. Required.
	Transport transport.Dialer

	// Logger gets what an operator wants to know: faults that were recovered from. It never gets content or tokens. Nil
	// discards.
	Logger *slog.Logger

	// Limits are those of the service. The zero value means the documented ones.
	Limits Limits

	// DeviceID names this program among a user's devices, from one run to the next: a new run goes on with the messages
	// that the last one had not handled, that is, whose handler had not returned. After a crash, those of the last moment may
	// come again. Empty is a name too. Programs that are online at the same time need names of their own: what one of them has
	// handled does not come to the next run of the other. A service remembers the last 100 names of a user. Up to 64 bytes.
	DeviceID string

	// Platform is what other devices of the user see. Zero means what the program runs on.
	Platform PlatformType

	// LocalStore keeps what only this device has of conversations: drafts, local extended data, messages that were inserted or could
	// not be sent, and the messages that came or were queried, for local search. Nil means a [MemoryStore] without the latter.
	LocalStore LocalStore

	// OutboxDir is a directory for durable messages: see MessageSendConfig.Durable. Below it, each app and user has a directory, which is made
	// when the user logs in, and which only one ZIM at a time may have: Login fails with [ErrDatabaseOpenDatabaseError] while another
	// process or ZIM has it, or if it can't be used. Empty means that messages can't be durable.
	OutboxDir string

	// EventBuffer is how many received messages and other events may wait for a handler. Beyond it, what the service can
	// repeat is left there until half of the buffer is free, and what it can't is dropped: see [EventsDropped]. Zero means
	// 1024.
	EventBuffer int

	// ResendWindow is how long a message waits for a lost connection to come back, and for its acknowledgment. Zero means
	// 30 seconds.
	ResendWindow time.Duration

	// MaxReconnectDelay is the longest pause between two attempts to reconnect. Zero means 30 seconds.
	MaxReconnectDelay time.Duration
}

// A ZIM is one user's attachment to the service. Make one with [New] or [Create]. All its methods may be called
// concurrently, and from handlers.
type ZIM struct {
	config AppConfig    // immutable; defaults filled in
	log    *slog.Logger // immutable
	// run is the name of this ZIM among the user's logins.
	run      [16]byte      // immutable
	normal   *rate.Limiter // immutable; sends of low and medium priority
	high     *rate.Limiter // immutable; sends of high priority
	dispatch *dispatcher   // immutable
	local    LocalStore    // immutable
	keeps    bool          // immutable; local keeps what the service has, too

	sessions sync.WaitGroup // their goroutines; nobody adds to it once destroyed is set

	mu        sync.Mutex
	destroyed bool             // guarded by mu
	session   *session         // guarded by mu; the last login's, nil before the first
	feeds     map[string]*feed // guarded by mu; by user
}

// New returns a ZIM that is logged out. It does no I/O and starts no goroutine. It fails with [ErrCommonParamsInvalid] if the
// config misses something or has a value out of its range, and with [ErrCommonInvalidAppID] if AppID is zero.
func New(config AppConfig) (*ZIM, error) {
	z, err := newZIM("New", config)
	if err != nil {
		return nil, err
	}
	return z, nil
}

func newZIM(op string, config AppConfig) (*ZIM, *Error) {
	if config.AppID == 0 {
		return nil, &Error{Op: op, Code: ErrCommonInvalidAppID, Message: "AppID is zero"}
	}
	if config.Transport == nil {
		return nil, invalid(op, "Transport is nil")
	}
	if config.EventBuffer < 0 || config.ResendWindow < 0 || config.MaxReconnectDelay < 0 {
		return nil, invalid(op, "EventBuffer, ResendWindow and MaxReconnectDelay must not be negative")
	}
	if len(config.DeviceID) > maxDeviceID {
		return nil, invalid(op, "DeviceID has %d bytes, the limit is %d", len(config.DeviceID), maxDeviceID)
	}
	if err := config.Limits.fill(op); err != nil {
		return nil, err
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.EventBuffer == 0 {
		config.EventBuffer = 1024
	}
	if config.ResendWindow == 0 {
		config.ResendWindow = 30 * time.Second
	}
	if config.MaxReconnectDelay == 0 {
		config.MaxReconnectDelay = 30 * time.Second
	}
	if config.Platform == 0 {
		config.Platform = platform()
	}
	z := &ZIM{
		config: config,
		log:    config.Logger.With("app", config.AppID),
		normal: config.Limits.limiter(config.Limits.SendRate),
		high:   config.Limits.limiter(config.Limits.HighPrioritySendRate),
	}
	if z.local, z.keeps = config.LocalStore, config.LocalStore != nil; !z.keeps {
		z.local = new(MemoryStore)
	}
	z.feeds = make(map[string]*feed)
	rand.Read(z.run[:])
	z.dispatch = newDispatcher(config.EventBuffer, z.log)
	return z, nil
}

func platform() PlatformType {
	switch runtime.GOOS {
	case "windows":
		return PlatformTypeWin
	case "darwin":
		return PlatformTypeMacOS
	default:
		return PlatformTypeLinux
	}
}

// Destroy ends the session, if any, and releases z. It does not log out: the service takes the user for online for another
// 30 seconds. When Destroy returns, no handler starts any more; one that is running is not waited for, so that a handler
// may call Destroy. Calls under way fail with [ErrCommonNotInit], as do later ones. It is idempotent.
func (z *ZIM) Destroy() {
	z.mu.Lock()
	z.destroyed = true
	s := z.session
	z.mu.Unlock()
	instance.CompareAndSwap(z, nil)
	z.dispatch.destroy()
	for n := 0; defect.On(defect.DestroyWaits) && n < 3600 && z.dispatch.room() < z.dispatch.limit; n++ {
		time.Sleep(time.Second)
	}
	if s != nil {
		s.end(ending{code: ErrCommonNotInit, silent: true})
	}
	z.sessions.Wait() // an earlier one may be over, but not gone
}

// active returns the session of the user who is logged in.
func (z *ZIM) active(op string) (*session, *Error) {
	z.mu.Lock()
	destroyed, s := z.destroyed, z.session
	z.mu.Unlock()
	switch {
	case destroyed:
		return nil, &Error{Op: op, Code: ErrCommonNotInit, Message: "the ZIM was destroyed"}
	case s == nil || !s.established():
		return nil, &Error{Op: op, Code: ErrNetworkUserIsNotLogged}
	}
	return s, nil
}

// callTimeout is how long the service may take to answer a call.
const callTimeout = 10 * time.Second

// call performs one request on the current connection. All requests but logins, messages and the session's own go
// through it; it is the one place where their failures become an *Error.
func (z *ZIM) call(ctx context.Context, op string, req *wire.Request) (*wire.Response, error) {
	s, e := z.active(op)
	if e != nil {
		return nil, e
	}
	return s.call(ctx, op, req)
}

func (s *session) call(ctx context.Context, op string, req *wire.Request) (*wire.Response, error) {
	conn := s.connection()
	if conn == nil {
		if over := s.over(); over != nil {
			return nil, &Error{Op: op, Code: over.code}
		}
		return nil, &Error{Op: op, Code: ErrNetworkNetworkError, Message: "not connected"}
	}
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := conn.RoundTrip(bounded, req)
	switch {
	case err == nil && resp.Error == nil:
		if resp.EventSeq != 0 {
			s.feed.await(ctx, resp.EventSeq)
		}
		return resp, nil
	case err == nil:
		s.ended(resp.Error)
		return nil, refusal(op, resp.Error)
	case ctx.Err() != nil:
		return nil, canceled(op, ctx)
	case bounded.Err() != nil:
		return nil, &Error{Op: op, Code: ErrNetworkRequestTimeout}
	case errors.Is(err, errors.ErrUnsupported):
		return nil, &Error{Op: op, Code: ErrCommonUnsupportedRequest, Err: err}
	case errors.Is(err, proto.Error):
		return nil, &Error{Op: op, Code: ErrCommonParamsInvalid, Err: err} // nothing was sent
	}
	if over := s.over(); over != nil {
		return nil, &Error{Op: op, Code: over.code}
	}
	return nil, &Error{Op: op, Code: ErrCommonIMServerDisconnect, Err: err}
}

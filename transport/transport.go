// Package transport is the seam between the SDK and whatever carries its requests.
//
// The seam is made of typed requests, responses and pushes, because that is the one place where a WebSocket, an HTTPS API
// with callbacks and a function call have the same shape. Package [github.com/zim-go/zim/transport/transporttest] checks
// an implementation against the contract written here.
//
// The interfaces never grow. What only some transports can do is an optional interface that their Conns implement, such
// as [Pipeline] and [FileServer].
package transport

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/zim-go/zim/wire"
)

// ErrClosed is what the methods of a Conn return once it was closed by Close or by the other side. The error may be
// wrapped with what is known of the reason.
var ErrClosed = errors.New("transport: connection closed")

// ErrProtocol is wrapped by the error of a Conn that ended because the service sent what makes no sense.
var ErrProtocol = errors.New("transport: the service broke the protocol")

// ErrMisconfigured is wrapped by the error of a Dialer that can never reach anything as it is configured. Other errors of a
// Dialer are taken for passing: it is tried again.
var ErrMisconfigured = errors.New("transport: the dialer can't work as it is configured")

// ErrOutcomeUnknown is wrapped by the error of a request that the service may or may not have done, and that is not safe to repeat: there was no
// answer that says which, and the service would not know the request again. The SDK reports a message that ends so as unknown, and never
// sends it again by itself. A transport whose service knows a message again by its local ID doesn't use it: there, any other error leaves the
// message to the next connection.
var ErrOutcomeUnknown = errors.New("transport: it is unknown whether the service has done it")

// A Dialer reaches a ZIM service. It is used by many goroutines and many ZIMs at once.
type Dialer interface {
	// Dial makes a new attachment to the service. ctx bounds only the dialing: the Conn lives on after it ended.
	Dial(ctx context.Context) (Conn, error)
}

// A Conn is one attachment of one user to a service. The first request on it is a login.
//
// All methods may be called concurrently, except that only one goroutine at a time calls Receive.
type Conn interface {
	// RoundTrip performs one request. Its error is nil whenever the service answered, also when the answer is a refusal
	// (Response.Error); an error means that there was no answer. A request that the service has no counterpart for fails
	// with an error that wraps [errors.ErrUnsupported]. RoundTrip returns promptly when ctx ends, and ending ctx harms no
	// other request on the Conn. The request must not be changed before RoundTrip returned nor, if it failed, after.
	RoundTrip(ctx context.Context, req *wire.Request) (*wire.Response, error)

	// Receive returns the next thing that the service pushed, in order; what it pushed before it closed the Conn comes before
	// the error. After an error other than ctx's own, the Conn is finished: every later call of any method but Close fails
	// too. Receive is to be called again without a long pause: a Conn may stop to read, answers included, while pushes wait.
	Receive(ctx context.Context) (*wire.Push, error)

	// Close gives up the Conn, unblocks the other methods and waits for the Conn's own goroutines. It is idempotent.
	Close() error
}

// A Pipeline is a Conn that can start a request without waiting for the answers of those before it. On a Conn without
// it, the SDK sends one message at a time.
type Pipeline interface {
	Conn

	// Start puts req on its way and returns without waiting. Requests that are started one after the other reach the
	// service in that order. done is called exactly once, with what RoundTrip would have returned, by any goroutine, perhaps
	// before Start returns; it may start other requests, and must not block or keep the response. The request must not be changed any more.
	Start(req *wire.Request, done func(*wire.Response, error))
}

// A FileServer is a Conn whose service also stores files, which are reached over HTTP.
type FileServer interface {
	// Files returns a client for the service's files, and the URL that references to them are relative to, or nil and nil if
	// the service has none. It returns the same for the life of the Conn, and both work on after it. They may be shared:
	// neither may be changed. The client says nothing of who the user is: the requests must.
	Files() (client *http.Client, base *url.URL)
}

package memnet

import (
	"net/http"
	"testing"
)

// Serve serves handler in memory until the test or the bubble ends. It returns a client that reaches nothing else.
func Serve(tb testing.TB, handler http.Handler) *http.Client {
	tb.Helper()
	l := Listen()
	server := &http.Server{Handler: handler}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(l)
	}()
	rt := &http.Transport{DialContext: l.DialContext, DialTLSContext: l.DialContext}
	tb.Cleanup(func() {
		rt.CloseIdleConnections()
		server.Close()
		<-served
	})
	return &http.Client{Transport: rt}
}

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

type listenFlags struct {
	Listen            string `help:"Address to listen on." default:"127.0.0.1:8080" env:"ZIM_LISTEN" group:"Network"`
	TLSCert           string `name:"tls-cert" help:"PEM file with the certificate, and those that lead to its root." placeholder:"PATH" env:"ZIM_TLS_CERT" group:"Network"`
	TLSKey            string `name:"tls-key" help:"PEM file with the certificate's key." placeholder:"PATH" env:"ZIM_TLS_KEY" group:"Network"`
	InsecurePlaintext bool   `help:"Listen beyond this machine without TLS: tokens and messages can be read on the way. For networks that are protected in another way, and behind a proxy that does TLS." env:"ZIM_INSECURE_PLAINTEXT" group:"Network"`
}

// open listens. The URL is for clients on this machine.
func (f *listenFlags) open(onlyLocal bool) (ln net.Listener, url string, err error) {
	secure := f.TLSCert != "" || f.TLSKey != ""
	var config *tls.Config
	if secure {
		if f.TLSCert == "" || f.TLSKey == "" {
			return nil, "", errors.New("--tls-cert and --tls-key belong together: one is missing")
		}
		cert, err := tls.LoadX509KeyPair(f.TLSCert, f.TLSKey)
		if err != nil {
			return nil, "", fmt.Errorf("--tls-cert and --tls-key: %w", err)
		}
		config = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	}
	address, err := net.ResolveTCPAddr("tcp", f.Listen)
	if err != nil {
		return nil, "", fmt.Errorf("--listen must be a host and a port, as in 127.0.0.1:8080: %w", err)
	}
	switch {
	case address.IP.IsLoopback():
	case onlyLocal:
		return nil, "", fmt.Errorf("--dev is for this machine only, and %s can be reached from others", f.Listen)
	case !secure && !f.InsecurePlaintext:
		return nil, "", fmt.Errorf("%s can be reached from other machines, where tokens and messages would travel in the clear: "+
			"set --tls-cert and --tls-key, or, behind a proxy that does TLS, --insecure-plaintext", f.Listen)
	}
	ln, err = net.ListenTCP("tcp", address)
	if err != nil {
		return nil, "", fmt.Errorf("--listen: %w", err)
	}
	scheme := "ws"
	if secure {
		ln, scheme = tls.NewListener(ln, config), "wss"
	}
	return ln, scheme + "://" + ln.Addr().String() + "/v1", nil
}

package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
)

const maxURL = 2048 // bytes

// errInside is why nothing is sent to an address.
var errInside = errors.New("webhook: the address is not one of the public internet")

// checkURL says what is wrong with the URL of a receiver. It looks up no names: what they stand for is held against the same rules each
// time that a connection is made. The error does not have the URL, which may be known to few.
func checkURL(raw string, config *Config) (*url.URL, error) {
	if len(raw) > maxURL {
		return nil, fmt.Errorf("it has %d bytes, the limit is %d", len(raw), maxURL)
	}
	for _, c := range []byte(raw) {
		if c <= ' ' || c == '\\' || c >= 0x7f {
			return nil, errors.New("it has a space, a backslash, a control character or a byte that is not ASCII")
		}
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("it is malformed")
	}
	switch {
	case u.Scheme == "http" && !config.AllowHTTP && !config.AllowPrivate:
		return nil, errors.New("it is an http URL: anybody on the way could read and repeat what is sent there")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("it is neither an https nor an http URL")
	case u.User != nil:
		return nil, errors.New("it has a user name or password")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return nil, errors.New("it has a fragment")
	case u.Opaque != "" || u.Hostname() == "":
		return nil, errors.New("it has no host")
	case strings.Contains(u.Host, "%") || strings.Contains(u.Hostname(), "%"):
		return nil, errors.New("its host has an escape or a zone")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("its port is none")
		}
	}
	if config.AllowPrivate {
		return u, nil
	}
	return u, checkHost(u.Hostname())
}

// checkHost refuses hosts that are an address of this machine or its network, in whichever way it is written.
func checkHost(host string) error {
	if ip, err := netip.ParseAddr(host); err == nil {
		if !public(ip) {
			return errInside
		}
		return nil
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	labels := strings.Split(host, ".")
	last := labels[len(labels)-1]
	// What ends in a number is an address in one of the notations that only some resolvers read: 127.1, 0x7f.1, 2130706433.
	if _, err := strconv.ParseUint(last, 0, 64); err == nil || strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return errors.New("its host is an address in an unusual notation, or none")
	}
	if last == "localhost" || last == "local" || last == "internal" || len(labels) == 1 {
		return errInside
	}
	return nil
}

// inside are the networks of special purposes that none of the methods of [netip.Addr] knows of. Those with NAT64 and others in which an
// IPv4 address is embedded are among them, whatever the address.
var inside = func() (list []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"240.0.0.0/4", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16",
		"fec0::/10",
	} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}()

// public reports whether an address is one of the public internet.
func public(ip netip.Addr) bool {
	if ip.Zone() != "" || ip.Is4In6() || !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
		return false
	}
	for _, p := range inside {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// control is asked before each connection is made, when the name has become an address: whatever it was a moment ago.
func control(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return errInside
	}
	if ip, err := netip.ParseAddr(host); err != nil || !public(ip) {
		return errInside
	}
	return nil
}

package media

import "io"

// SetFaults lets the disk of a server fail: writer wraps all that is written to files, sync fails instead of a sync. It is
// called before the first request.
func (s *Server) SetFaults(writer func(name string, w io.Writer) io.Writer, sync func(name string) error) {
	s.faults = faults{writer, sync}
}

// Used returns how many bytes of a user count.
func (s *Server) Used(app uint32, user string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used[account{app, user}]
}

// HoldDecoding keeps images from being decoded until release is called.
func (s *Server) HoldDecoding() (release func()) {
	s.decoding <- struct{}{}
	return func() { <-s.decoding }
}

// ParseTicket parses what a ticket says, and returns it as it is written.
func ParseTicket(b []byte) ([]byte, bool) {
	p, ok := parsePermit(b)
	if !ok {
		return nil, false
	}
	return p.append(nil), true
}

// CleanName is what a URL has of a name.
func CleanName(name string) string { return cleanName(name) }

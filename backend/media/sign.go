package media

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// newID returns an ID that nobody guesses.
func newID() string {
	var id [16]byte
	rand.Read(id[:])
	return hex.EncodeToString(id[:])
}

func isID(s string) bool {
	if len(s) != 32 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// A permit is what a ticket says.
type permit struct {
	id      string
	upload  Upload
	expires int64 // Unix time
}

// ticketFormat is the first byte of a ticket.
const ticketFormat = 1

// seal returns the ticket for a permit.
func (s *Server) seal(p permit) string {
	b := p.append(nil)
	return base64.RawURLEncoding.EncodeToString(append(b, mac(s.ticketKey, b)...))
}

// unseal returns what a ticket says, if this server signed it and it has not expired.
func (s *Server) unseal(ticket string) (permit, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(ticket)
	if err != nil || len(b) < sha256.Size {
		return permit{}, false
	}
	b, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if !hmac.Equal(sum, mac(s.ticketKey, b)) {
		return permit{}, false
	}
	p, ok := parsePermit(b)
	return p, ok && time.Now().Unix() < p.expires
}

func mac(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}

func (p *permit) append(b []byte) []byte {
	b = append(b, ticketFormat)
	id, _ := hex.DecodeString(p.id)
	b = append(b, id...)
	for _, n := range []uint64{uint64(p.upload.App), uint64(p.upload.Kind), uint64(p.upload.Size), uint64(p.expires)} {
		b = binary.AppendUvarint(b, n)
	}
	b = binary.AppendUvarint(b, uint64(len(p.upload.User)))
	b = append(b, p.upload.User...)
	return append(b, p.upload.Name...)
}

func parsePermit(b []byte) (p permit, ok bool) {
	if len(b) < 17 || b[0] != ticketFormat {
		return p, false
	}
	p.id, b = hex.EncodeToString(b[1:17]), b[17:]
	var n [5]uint64
	for i := range n {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			return p, false
		}
		n[i], b = v, b[size:]
	}
	if n[4] > uint64(len(b)) {
		return p, false
	}
	p.upload = Upload{
		App: uint32(n[0]), Kind: Kind(n[1]), Size: int64(n[2]),
		User: string(b[:n[4]]), Name: string(b[n[4]:]),
	}
	p.expires = int64(n[3])
	return p, n[0] <= 1<<32-1 && n[2] <= maxSize
}

// A link is what a URL says.
type link struct {
	id      string
	variant Variant
	name    string // as shortName returns it
	app     uint32
	user    string
	expires int64 // Unix time
}

// sign returns the signature of a link.
func (s *Server) sign(l *link) string {
	var b []byte
	for _, field := range []string{
		l.id, strconv.Itoa(int(l.variant)), l.name,
		strconv.FormatUint(uint64(l.app), 10), l.user, strconv.FormatInt(l.expires, 10),
	} {
		b = binary.AppendUvarint(b, uint64(len(field)))
		b = append(b, field...)
	}
	return base64.RawURLEncoding.EncodeToString(mac(s.urlKey, b))
}

// URL returns the URL by which a user may download an object, relative to where the Server is mounted: "media/…". It is the
// same string for a 24th of its lifetime, so that what was downloaded can be cached. name is what the user's browser calls
// the file; of a long one that is not the object's own, only a part is. Whether there is such an object does not matter here.
func (s *Server) URL(id string, v Variant, name string, app uint32, user string) string {
	step := max(int64(s.config.URLLifetime/24/time.Second), 1)
	expires := time.Now().Add(s.config.URLLifetime).Unix()
	l := link{id: id, variant: v, name: shortName(cleanName(name)), app: app, user: user, expires: (expires/step + 1) * step}
	return "media/" + l.id + "/" + strconv.Itoa(int(l.variant)) + "/" + url.PathEscape(l.name) +
		"?app=" + strconv.FormatUint(uint64(l.app), 10) +
		"&user=" + url.QueryEscape(l.user) +
		"&expires=" + strconv.FormatInt(l.expires, 10) +
		"&sig=" + s.sign(&l)
}

// Resolve returns which object a URL is for, and whether this server signed it for that user. The URL may be relative, or
// have any host, and have expired: a user may send on what he was given.
func (s *Server) Resolve(rawURL string, app uint32, user string) (id string, v Variant, ok bool) {
	if len(rawURL) > maxURL {
		return "", 0, false
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", 0, false
	}
	l, ok := s.verify(u)
	if !ok || l.app != app || l.user != user {
		return "", 0, false
	}
	return l.id, l.variant, true
}

// maxURL is longer than any URL that was signed.
const maxURL = 4096

// verify returns what a URL says, if this server signed it.
func (s *Server) verify(u *url.URL) (*link, bool) {
	_, rest, ok := cutMount(u)
	if !ok {
		return nil, false
	}
	parts := strings.Split(rest, "/")
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || len(parts) != 3 || !isID(parts[0]) {
		return nil, false
	}
	for _, key := range []string{"app", "user", "expires", "sig"} {
		if len(query[key]) != 1 {
			return nil, false
		}
	}
	name, err := url.PathUnescape(parts[2])
	if err != nil {
		return nil, false
	}
	l := &link{id: parts[0], name: name, user: query.Get("user")}
	app, ok1 := number(query.Get("app"), 1<<32-1)
	expires, ok2 := number(query.Get("expires"), 1<<62)
	variant, ok3 := number(parts[1], 3)
	if !ok1 || !ok2 || !ok3 || variant == 0 {
		return nil, false
	}
	l.app, l.expires, l.variant = uint32(app), expires, Variant(variant)
	return l, hmac.Equal([]byte(query.Get("sig")), []byte(s.sign(l)))
}

// number parses a number that is written as this server does: a URL has one form.
func number(s string, limit int64) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && n <= limit && strconv.FormatInt(n, 10) == s
}

// cutMount returns the escaped path up to "/media" and after "/media/". The last one counts: nothing that follows contains it.
func cutMount(u *url.URL) (mount, rest string, ok bool) {
	path := "/" + strings.TrimPrefix(u.EscapedPath(), "/")
	i := strings.LastIndex(path, "/media/")
	if i < 0 {
		return "", "", false
	}
	return path[:i], path[i+len("/media/"):], true
}

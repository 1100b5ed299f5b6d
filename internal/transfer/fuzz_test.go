package transfer_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/internal/transfer"
)

// answers is a server that answers with what it was given, one after the other, whatever it is asked.
type answers struct {
	rest     *bufio.Reader
	requests int
	asked    func(r *http.Request) // may be nil
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.requests++
	if a.asked != nil {
		a.asked(r)
	}
	if r.Body != nil {
		io.Copy(io.Discard, r.Body)
	}
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	resp, err := http.ReadResponse(a.rest, r)
	if err != nil {
		return nil, errors.New("it hung up")
	}
	return resp, nil
}

var scripts = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"1\"\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nETag: \"1\"\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\n\r\nhello", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\n\r\nhello",
	"HTTP/1.1 302 Found\r\nLocation: http://[::1/\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 503 Wait\r\nRetry-After: 99999999999999999999\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 503 Wait\r\nRetry-After: -5\r\n\r\n",
	"HTTP/1.1 416 No\r\nContent-Range: bytes */18446744073709551616\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 201 Created\r\nLocation: files/1\r\nContent-Length: 0\r\n\r\nHTTP/1.1 204 OK\r\nUpload-Offset: 100\r\n\r\n",
	"HTTP/1.1 201 Created\r\nLocation: //other/1\r\nContent-Length: 0\r\n\r\nHTTP/1.1 204 OK\r\nUpload-Offset: -1\r\n\r\n",
	"HTTP/1.1 201 Created\r\nLocation: http://x/1\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 409 Conflict\r\nLocation: files/1\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nUpload-Offset: 9223372036854775808\r\n\r\n",
	"HTTP/1.1 403 No\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n\x1b[31m\r\n\xff", "HTTP/1.1 999 \r\n\r\n", "",
}

// Whatever a server answers to a download: it ends, writes no more than the limit, and says nothing of the URL.
func FuzzDownload(f *testing.F) {
	for _, s := range scripts {
		f.Add([]byte(s))
		f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"1\"\r\nConnection: close\r\n\r\nhe" + s))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		synctest.Test(t, func(t *testing.T) {
			const limit, secret = 64, "hunter2"
			server := &answers{rest: bufio.NewReader(bytes.NewReader(script))}
			var got bytes.Buffer
			var last, ended int64 = -1, -1
			d := &transfer.Download{
				Client: &http.Client{Transport: server}, URL: "https://im.example.com/x?key=" + secret, Limit: limit, Dest: &got,
				Progress: func(received, total int64) {
					if received < last || received > limit || total < -1 || total > limit {
						t.Errorf("the progress is %d of %d after %d", received, total, last)
					}
					last, ended = received, total
				},
			}
			start := time.Now()
			err := d.Run(t.Context())
			if got.Len() > limit || err == nil && (last != int64(got.Len()) || ended != last) {
				t.Errorf("got %d bytes, %v; the progress is %d of %d", got.Len(), err, last, ended)
			}
			if err != nil && strings.Contains(err.Error(), secret) && !bytes.Contains(script, []byte(secret)) {
				t.Errorf("%q shows the URL", err)
			}
			if took := time.Since(start); took > time.Duration(1+len(script)/10)*8*2*time.Minute {
				t.Errorf("it took %v", took)
			}
		})
	})
}

// Whatever a server answers to an upload: it ends, has told the server all if it succeeded, and never sends the ticket in the clear.
func FuzzUpload(f *testing.F) {
	for _, s := range scripts {
		f.Add([]byte(s))
		f.Add([]byte("HTTP/1.1 201 Created\r\nLocation: files/1\r\nContent-Length: 0\r\n\r\n" + s))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		synctest.Test(t, func(t *testing.T) {
			const size = 100
			patches := 0
			server := &answers{rest: bufio.NewReader(bytes.NewReader(script)), asked: func(r *http.Request) {
				if r.URL.Scheme != "https" {
					t.Errorf("%s %v is in the clear", r.Method, r.URL)
				}
				if r.Method == http.MethodPatch {
					patches++
				}
			}}
			last := int64(-1)
			up := &transfer.Upload{
				Client: &http.Client{Transport: server}, URL: "https://im.example.com/files", Ticket: ticket, Size: size,
				Source: bytes.NewReader(content(size)),
				Progress: func(sent int64) {
					if sent < last || sent > size {
						t.Errorf("the progress is %d after %d", sent, last)
					}
					last = sent
				},
			}
			err := up.Run(t.Context())
			if err == nil && (last != size || !bytes.Contains(bytes.ToLower(script), []byte("upload-offset"))) {
				t.Errorf("%d requests to send, and it is said to be there; the progress is %d", patches, last)
			}
			if err != nil && strings.Contains(err.Error(), ticket) && !bytes.Contains(script, []byte(ticket)) {
				t.Errorf("%q shows the ticket", err)
			}
		})
	})
}

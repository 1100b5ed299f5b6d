package cloud_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/cloud"
)

// A life is a log, and what was acknowledged when it had which size.
type life struct {
	log  []byte
	said []string       // to bob, in order
	acks map[int]int    // how much of that was acknowledged, by size
	sent map[int]object // the callback of each, by how much there was with it
}

// live has two users live through everything that is in logs, a callback at a time.
func live(t *testing.T) *life {
	t.Helper()
	s := keeping(t, t.TempDir())
	l := &life{acks: make(map[int]int), sent: make(map[int]object)}
	bob, carol := s.Attach("bob", "chess", "r"), s.Attach("carol", "go", "r")
	t.Cleanup(bob.Close)
	defer carol.Close()
	tell := func(text string, o object) {
		t.Helper()
		must(t, s, o, http.StatusOK)
		if text != "" {
			l.said = append(l.said, text)
			l.sent[len(l.said)] = o
		}
		l.acks[len(readLog(t, s.Dir))] = len(l.said)
	}
	tell("one", signed("send_msg", hello(1, "one")))
	tell("", signed("send_msg", hello(2, "for carol").with("conv_id", "carol")))
	tell("eins", signed("send_msg", hello(1, "eins")))
	tell("in the group", signed("send_msg", inGroup(3, "in the group", "chess")))
	tell("", signed("call_create", object{"call_id": "1"}))
	tell("", signed("group_exit", object{"group_id": "go", "exit_user_ids": []string{"carol"}}))
	carol.Handle(1)
	tell("last", signed("send_msg", hello(4, "last")))
	l.log = readLog(t, s.Dir)
	return l
}

// A power cut leaves any part of what was not synced: whatever the size of the log is then, what was acknowledged when it had that size is there,
// and in order.
func TestCutAtEveryByte(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := live(t)
		acked := 0
		for size := cloud.LogHeaderSize; size <= len(l.log); size++ {
			if n, ok := l.acks[size]; ok {
				acked = n
			}
			_, isEnd := l.acks[size]
			_, wasEnd := l.acks[size-1]
			for _, tail := range [][]byte{nil, make([]byte, len(l.log)-size)} { // a file may also have grown, and have nothing there
				cut := slices.Concat(l.log[:size], tail)
				lines, err := cloud.ReadLog(cut)
				if err != nil || strings.Count(strings.Join(lines, "\n"), `"bob": event `) < acked {
					t.Fatalf("at %d: got %v, %v, want %d events", size, lines, err, acked)
				}
				if !isEnd && !wasEnd && size != cloud.LogHeaderSize && size%256 != 0 {
					continue // what follows syncs
				}
				s := keeping(t, dirWith(t, cut))
				got := s.Attach("bob", "chess", "r")
				if texts := got.Texts(t); !slices.Equal(texts, l.said[:acked]) {
					t.Errorf("at %d: got %q, want %q", size, texts, l.said[:acked])
				}
				for n := 1; n <= len(l.said); n++ {
					must(t, s, l.sent[n], http.StatusOK)
				}
				if texts := got.Texts(t); !slices.Equal(texts, l.said) {
					t.Errorf("at %d: got %q when all came again, want %q", size, texts, l.said)
				}
				got.Close()
				s.Shutdown(t.Context())
			}
		}
		if acked != len(l.said) || acked < 4 {
			t.Errorf("%d of %d were acknowledged, want all", acked, len(l.said))
		}
	})
}

// What was synced and is damaged is not taken for what a crash left: the start fails, tells where, and touches nothing.
func TestDamagedLog(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := live(t)
		last := 0 // where the last frame begins
		for size := range l.acks {
			if size < len(l.log) {
				last = max(last, size)
			}
		}
		for at := range last {
			damaged := bytes.Clone(l.log)
			damaged[at] ^= 0x10
			if lines, err := cloud.ReadLog(damaged); err == nil {
				t.Fatalf("a log with another byte at %d was read as %v", at, lines)
			}
		}
		version := bytes.Clone(l.log)
		version[7]++
		middle := bytes.Clone(l.log)
		middle[last/2]++
		anew, err := cloud.WriteAnew(l.log)
		if err != nil {
			t.Fatal(err)
		}
		end := bytes.Clone(anew)
		end[len(end)-1]++
		other := cloud.NewLog([]byte{99, 0, 0, 0, 0, 0})
		for _, c := range []struct {
			name, want string
			log        []byte
		}{
			{"a newer version", "its format has the version 2, this SDK knows 1", version},
			{"damage in the middle", "it is damaged at byte", middle},
			{"damage to what was there at the start", "it is damaged at byte", end},
			{"a log that is shorter than at the start", "it is cut short", anew[:len(anew)-1]},
			{"a header alone, cut short", "it is cut short", l.log[:20]},
			{"nothing", "it is cut short", nil},
			{"another file", "it is no log of callbacks", bytes.Repeat([]byte("x"), 100)},
			{"a damaged header", "its header is damaged", append(bytes.Clone(l.log[:10]), make([]byte, 100)...)},
			{"another record", "it has a record that this version can't read", other},
		} {
			s := keeping(t, dirWith(t, c.log))
			s.ServerSecret = "s"
			log := logTo(s)
			must(t, s, signed("send_msg", hello(9, "secret text")), http.StatusServiceUnavailable)
			time.Sleep(2 * time.Second)
			if _, err := s.Dial(t.Context()); !errors.Is(err, transport.ErrMisconfigured) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", c.name, err, c.want)
			}
			if got := log.String(); !strings.Contains(got, c.want) || strings.Contains(got, "secret") {
				t.Errorf("%s: got %q, want %q, and no text", c.name, got, c.want)
			}
			if !bytes.Equal(readLog(t, s.Dir), c.log) {
				t.Errorf("%s: the log was touched", c.name)
			}
		}
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s := keeping(t, file)
		s.ServerSecret = "s"
		if _, err := s.Dial(t.Context()); !errors.Is(err, transport.ErrMisconfigured) {
			t.Errorf("got %v for a file, want that it can't be used", err)
		}
	})
}

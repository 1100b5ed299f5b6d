package zim_test

import (
	"errors"
	"fmt"
	"image"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/faketransport"
	"github.com/zim-go/zim/wire"
)

func hosted(name string) zim.File {
	return zim.File{URL: "https://example.com/" + name, Name: name, Size: 7}
}

// A message is the same to the service whichever run sends it: otherwise it would be another one under the same ID. That holds
// for everything that can be durable, and for a retry by the application, too.
func TestEachKindSurvives(t *testing.T) {
	combined := &zim.Message{ID: "7", Seq: 3, Conversation: zim.Group("chess"), Content: &zim.TextMessage{Message: "x"}}
	audio := &zim.AudioMessage{File: hosted("a.mp3"), AudioDuration: 3 * time.Second}
	image := &zim.ImageMessage{
		File: hosted("i.png"), OriginalImageSize: image.Pt(3, 4), LargeImageDownloadUrl: "https://example.com/large", ThumbnailDownloadUrl: "https://example.com/small",
	}
	contents := []zim.Content{
		&zim.TextMessage{Message: "grüße"},
		&zim.CustomMessage{Message: "c", SubType: 5, SearchedContent: "s"},
		image, &zim.FileMessage{File: hosted("f.zip")}, audio,
		&zim.VideoMessage{File: hosted("v.mp4"), VideoDuration: 9 * time.Second},
		&zim.MultipleMessage{MessageInfoList: []zim.Content{&zim.TextMessage{Message: "look"}, image, &zim.CustomMessage{Message: "c"}}},
		&zim.CombineMessage{Title: "t", Summary: "s", MessageList: []*zim.Message{combined}},
		&zim.CombineMessage{Title: "t", Summary: "s", CombineID: "id"},
		&zim.UnknownMessage{Kind: 77, Data: []byte("later")},
	}
	config := &zim.MessageSendConfig{
		Durable: true, Priority: zim.MessagePriorityHigh, ExtendedData: "more", HasReceipt: true, DisableUnreadMessageCount: true,
		MentionedUserIDs: []string{"carol"}, IsMentionAll: true, DisableNotifyMentionedUsers: true,
		PushConfig: &zim.PushConfig{Title: "title", BadgeIncrement: 1, VoIPConfig: &zim.VoIPConfig{IOSVoIPHandleValue: "v"}},
	}
	synctest.Test(t, func(t *testing.T) {
		ft, dir := faketransport.New(t), t.TempDir()
		a := newRun(t, ft, dir)
		a.login(t)
		ignoring(ft)
		for i, content := range contents {
			// To as many groups, so that all are sent at once.
			if _, err := a.SendMessage(t.Context(), content, zim.Group(strings.Repeat("g", i+1)), config); err != nil {
				t.Fatalf("%T: %v", content, err)
			}
		}
		if _, err := a.ReplyMessage(t.Context(), contents[0], combined, config); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		a.Destroy()
		sends := func(since int) []*wire.SendMessageRequest {
			list := ft.Sends()[since:]
			slices.SortFunc(list, func(a, b *wire.SendMessageRequest) int { return strings.Compare(a.ConversationId, b.ConversationId) })
			return list
		}
		first := sends(0)
		check := func(what string, got []*wire.SendMessageRequest) {
			t.Helper()
			if len(first) != len(contents)+1 || len(got) != len(first) {
				t.Fatalf("%s: got %d messages and before %d, want %d", what, len(got), len(first), len(contents)+1)
			}
			for i, m := range got {
				if !m.Again {
					t.Errorf("%s: %v does not say that it may have been stored", what, m)
				}
				m = proto.CloneOf(m)
				m.Again = false
				if !proto.Equal(m, first[i]) {
					t.Errorf("%s: got %v, want %v", what, m, first[i])
				}
			}
		}
		ft.OnRequest(refusing(int32(zim.ErrMessageSendMessageFailed)))
		b := newRun(t, ft, dir)
		b.login(t)
		time.Sleep(time.Second) // for the rate limit
		synctest.Wait()
		check("the next run", sends(len(first)))
		ft.OnRequest(nil)
		for _, m := range b.ended() {
			if _, err := b.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{
				Retry: m, Priority: config.Priority, HasReceipt: true, DisableUnreadMessageCount: true, MentionedUserIDs: m.MentionedUserIDs,
				IsMentionAll: m.IsMentionAll, DisableNotifyMentionedUsers: true, PushConfig: config.PushConfig,
			}); err != nil {
				t.Errorf("%T: %v", m.Content, err)
			}
		}
		check("the application's retry", sends(2*len(first)))
	})
}

// What can't be durable is refused before anything is kept or sent.
func TestNotDurable(t *testing.T) {
	withRun(t, func(t *testing.T, ft *faketransport.Transport, dir string, a *run) {
		text := &zim.TextMessage{Message: "x"}
		reader := zim.File{Reader: strings.NewReader("data"), Name: "i.png", Size: 4}
		for name, c := range map[string]struct {
			content zim.Content
			to      zim.ConversationRef
			why     string
		}{
			"command":  {&zim.CommandMessage{Message: []byte("x")}, zim.Peer("bob"), "no commands"},
			"room":     {text, zim.Room("r"), "only messages to users and groups"},
			"barrage":  {&zim.BarrageMessage{Message: "x"}, zim.Room("r"), "only messages to users and groups"},
			"path":     {&zim.FileMessage{File: zim.File{Path: "durable_test.go"}}, zim.Peer("bob"), "still to be uploaded"},
			"reader":   {&zim.ImageMessage{File: reader}, zim.Peer("bob"), "still to be uploaded"},
			"multiple": {&zim.MultipleMessage{MessageInfoList: []zim.Content{text, &zim.ImageMessage{File: reader}}}, zim.Peer("bob"), "still to be uploaded"},
			"empty":    {&zim.TextMessage{}, zim.Peer("bob"), "blank"},
			"oneself":  {text, zim.Peer("alice"), "the receiver is the sender"},
		} {
			m, err := a.SendMessage(t.Context(), c.content, c.to, &zim.MessageSendConfig{Durable: true})
			if m != nil || !errors.Is(err, zim.ErrCommonParamsInvalid) || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%s: got %v, %v, want that %s", name, m, err, c.why)
			}
		}
		other := newRun(t, ft, "")
		if err := other.Login(t.Context(), "carol", &zim.LoginConfig{Token: "04"}); err != nil {
			t.Fatal(err)
		}
		_, err := other.SendMessage(t.Context(), text, zim.Peer("bob"), &zim.MessageSendConfig{Durable: true})
		if !errors.Is(err, zim.ErrCommonParamsInvalid) || !strings.Contains(err.Error(), "OutboxDir") {
			t.Errorf("without a directory: got %v", err)
		}
		synctest.Wait()
		same(t, "arrived", arrived(ft), nil)
		same(t, "files", outboxFiles(t, dir), nil)
	})
}

// A message that failed can be made durable, with the identity that it has. One of which an answer may still come can't.
func TestRetryBecomesDurable(t *testing.T) {
	withRun(t, func(t *testing.T, ft *faketransport.Transport, dir string, a *run) {
		losing(ft)
		m, err := a.SendMessage(t.Context(), &zim.TextMessage{Message: "1"}, zim.Peer("bob"), nil)
		if !errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Fatalf("got %v, want an unknown outcome", err)
		}
		ft.OnRequest(refusing(int32(zim.ErrMessageSendMessageFailed)))
		if _, err := a.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{Retry: m, Durable: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		same(t, "told", a.told(), []string{"Failed 1, unknown", "Failed 1, unknown"})
		ft.OnRequest(nil)
		if _, err := a.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{Retry: a.ended()[1], Durable: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		same(t, "told", a.told()[2:], []string{"Success 1"})
		same(t, "arrived", arrived(ft), []string{"1"})
		same(t, "files", outboxFiles(t, dir), nil)
	})
	with(t, func(t *testing.T, c *client) {
		dir := t.TempDir()
		a := newRun(t, c.ft, dir)
		a.login(t)
		c.ZIM = a.ZIM
		c.holdSends()
		m := c.canceledSend(t)
		_, err := a.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{Retry: m, Durable: true})
		if !errors.Is(err, zim.ErrCommonParamsInvalid) || len(outboxFiles(t, dir)) > 0 {
			t.Errorf("while an answer may come: got %v", err)
		}
	})
}

// However slow the handler is, it is told of each durable message; other messages' events are dropped meanwhile.
func TestSlowHandlerIsTold(t *testing.T) {
	withRun(t, func(t *testing.T, ft *faketransport.Transport, dir string, a *run) {
		next := make(chan struct{})
		a.handled = func() { <-next }
		var want, texts []string
		for i := range 50 {
			s := fmt.Sprint(i)
			texts, want = append(texts, s), append(want, "Success "+s)
		}
		a.durable(t, zim.Peer("bob"), texts...)
		if err := <-a.ordinary(t.Context(), zim.Peer("carol"), "ordinary"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := len(outboxFiles(t, dir)); n != 50 {
			t.Errorf("got %d files while the first handler runs, want 50", n)
		}
		close(next)
		synctest.Wait()
		same(t, "told", a.told(), want)
		same(t, "files", outboxFiles(t, dir), nil)
	})
}

// A login while the handler of an earlier session still runs does not send again what has ended.
func TestLoginWhileTheHandlerRuns(t *testing.T) {
	withRun(t, func(t *testing.T, ft *faketransport.Transport, dir string, a *run) {
		next := make(chan struct{})
		a.handled = func() { <-next }
		a.durable(t, zim.Peer("bob"), "1", "2")
		synctest.Wait()
		a.Logout(t.Context(), nil)
		a.login(t)
		a.durable(t, zim.Peer("bob"), "3")
		synctest.Wait()
		close(next)
		synctest.Wait()
		same(t, "told", a.told(), []string{"Success 1", "Success 2", "Success 3"})
		same(t, "files", outboxFiles(t, dir), nil)
		if n := len(ft.Sends()); n != 3 {
			t.Errorf("got %d sends, want 3", n)
		}
	})
}

// Without a handler, the file goes as soon as the message has ended.
func TestNobodyIsTold(t *testing.T) {
	withRun(t, func(t *testing.T, ft *faketransport.Transport, dir string, a *run) {
		zim.Off[*zim.MessageSentStatusChanged](a.ZIM)
		a.durable(t, zim.Peer("bob"), "1")
		synctest.Wait()
		same(t, "arrived", arrived(ft), []string{"1"})
		same(t, "files", outboxFiles(t, dir), nil)
	})
}

// Of several retries of a message at the same time, one gets it.
func TestRetriesAtTheSameTime(t *testing.T) {
	withRun(t, func(t *testing.T, ft *faketransport.Transport, dir string, a *run) {
		for range 50 {
			ft.OnRequest(refusing(int32(zim.ErrMessageTargetDoesNotExist)))
			a.durable(t, zim.Peer("bob"), "1")
			synctest.Wait()
			failed := a.ended()[len(a.ended())-1]
			ignoring(ft)
			var taken atomic.Int32
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					_, err := a.SendMessage(t.Context(), nil, failed.Conversation, &zim.MessageSendConfig{Retry: failed, Durable: true})
					switch {
					case err == nil:
						taken.Add(1)
					case !errors.Is(err, zim.ErrCommonParamsInvalid):
						t.Error(err)
					}
				})
			}
			all.Wait()
			if n := taken.Load(); n != 1 || len(outboxFiles(t, dir)) != 1 {
				t.Fatalf("the outbox took %d retries, and has %q", n, outboxFiles(t, dir))
			}
			ft.OnRequest(nil)
			ft.Drop()
			time.Sleep(time.Minute)
			synctest.Wait()
		}
	})
}

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/webhook"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport/cloud"
)

// newBot starts a backend whose callbacks a cloud.Service takes, and a bot on that.
func newBot(t *testing.T, service *cloud.Service, hook func(*webhook.Config)) (*zimtest.Server, *zim.ZIM) {
	t.Helper()
	time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
	service.AppID, service.ServerSecret, service.CallbackSecret = zimtest.AppID, zimtest.Secret, zimtest.CallbackSecret
	srv := zimtest.NewServer(t, &zimtest.Options{Callbacks: service, Webhook: hook})
	service.BaseURL, service.HTTPClient = srv.APIURL(), srv.Client()
	bot, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: service})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bot.Destroy)
	if err := bot.Login(t.Context(), "@RBT#helper", &zim.LoginConfig{Token: "-"}); err != nil {
		t.Fatal(err)
	}
	return srv, bot
}

// However unpleasant the service's callbacks are, a bot gets each message once, as it was sent.
func TestBotUnderQuirks(t *testing.T) {
	quirks := map[string]webhook.Quirks{
		"encoded":              {EncodeBody: true, EncodeMsgBody: true},
		"nothing that is zero": {OmitZero: true},
		"twice":                {Repeat: 1},
		"late":                 {Delay: 40 * time.Second},
		"all of that":          {EncodeBody: true, EncodeMsgBody: true, OmitZero: true, Repeat: 0.5, Delay: 40 * time.Second},
	}
	for name, q := range quirks {
		for _, encoded := range []bool{false, true} {
			if encoded && !q.EncodeMsgBody {
				continue
			}
			t.Run(fmt.Sprint(name, encoded), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					q := q
					q.EncodeBody = q.EncodeBody && encoded
					srv, bot := newBot(t, new(cloud.Service), func(c *webhook.Config) { c.Quirks = q })
					var mu sync.Mutex
					got := make(map[string]int) // guarded by mu
					note := func(c zim.Content) {
						mu.Lock()
						defer mu.Unlock()
						switch c := c.(type) {
						case *zim.TextMessage:
							got[c.Message]++
						case *zim.ImageMessage:
							got[c.URL]++
						default:
							t.Errorf("got a %T", c)
						}
					}
					zim.On(bot, func(_ context.Context, e *zim.PeerMessageReceived) {
						for _, m := range e.Messages {
							note(m.Content)
						}
					})
					zim.On(bot, func(_ context.Context, e *zim.GroupMessageReceived) {
						for _, m := range e.Messages {
							note(m.Content)
						}
					})
					alice := srv.Login(t, "alice")
					if _, err := alice.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "chess"}, []string{"@RBT#helper"}, nil); err != nil {
						t.Fatal(err)
					}
					want := make(map[string]int)
					say := func(c zim.Content, to zim.ConversationRef, key string) {
						t.Helper()
						if _, err := alice.SendMessage(t.Context(), c, to, nil); err != nil {
							t.Fatal(err)
						}
						want[key] = 1
						time.Sleep(500 * time.Millisecond)
					}
					time.Sleep(time.Minute) // until the bot knows that it is in the group
					for i := range 40 {
						text := fmt.Sprintf("%d: 100%% + %%7B+ü", i)
						say(&zim.TextMessage{Message: text}, zim.Peer("@RBT#helper"), text)
						say(&zim.TextMessage{Message: "g" + text}, zim.Group("chess"), "g"+text)
						image := fmt.Sprintf("https://files.example/%d%%20a+b.png", i)
						say(&zim.ImageMessage{File: zim.File{URL: image, Name: "a b.png"}}, zim.Peer("@RBT#helper"), image)
					}
					time.Sleep(5 * time.Minute)
					synctest.Wait()
					mu.Lock()
					defer mu.Unlock()
					if !maps.Equal(got, want) {
						t.Errorf("the bot got %d messages, want %d each once:\n%q", len(got), len(want), slices.Sorted(maps.Keys(got)))
					}
				})
			})
		}
	}
}

// A cloud.Service that decides about messages does so for the backend, too: the same program moderates here and at the real service.
func TestServiceModerates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &cloud.Service{OnModeration: func(_ context.Context, m *cloud.Moderation) cloud.Verdict {
			switch {
			case strings.Contains(m.Body, "spam"):
				return cloud.Verdict{Decision: cloud.DecisionRefuse, Reason: "no spam"}
			case strings.Contains(m.Body, "darn"):
				return cloud.Verdict{NewBody: strings.ReplaceAll(m.Body, "darn", "d***")}
			case strings.Contains(m.Body, "slow"):
				time.Sleep(3 * time.Second)
			}
			return cloud.Verdict{Decision: cloud.DecisionSend}
		}}
		for _, quirks := range []webhook.Quirks{{}, {EncodeBody: true, OmitZero: true}} {
			srv, bot := newBot(t, service, func(c *webhook.Config) {
				c.Apps[0].URLs[webhook.BeforeSendMsg] = zimtest.CallbackURL
				c.Quirks = quirks
			})
			got := make(chan string, 1)
			zim.On(bot, func(_ context.Context, e *zim.PeerMessageReceived) {
				for _, m := range e.Messages {
					got <- m.Content.(*zim.TextMessage).Message
				}
			})
			alice := srv.Login(t, "alice")
			for text, want := range map[string]string{"hi": "hi", "darn it": "d*** it", "slow": "slow"} {
				m, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: text}, zim.Peer("@RBT#helper"), nil)
				if err != nil {
					t.Fatal(err)
				}
				if received, sent := <-got, m.Content.(*zim.TextMessage).Message; received != want || sent != want {
					t.Errorf("%q was received as %q, and its sender has %q; want %q", text, received, sent, want)
				}
			}
			_, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "spam"}, zim.Peer("@RBT#helper"), nil)
			if !errors.Is(err, zim.ErrMessageAuditCustomSentRejected) || !strings.Contains(err.Error(), "no spam") {
				t.Errorf("spam: %v", err)
			}
			time.Sleep(time.Minute)
			bot.Destroy()
			service = &cloud.Service{OnModeration: service.OnModeration}
		}
	})
}

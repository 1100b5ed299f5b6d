package e2e_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

// TestUnreadAgrees holds that unread messages, mentions and receipts are the same on all devices of a user, in what is told and in what
// is queried, and the same as in a simple model, whatever users do and whenever devices are offline.
//
// rapid draws what is done before the bubble begins, so that a case that fails can be made smaller: see its flags.
func TestUnreadAgrees(t *testing.T) {
	checks := "120"
	if raceEnabled {
		checks = "12"
	}
	rapidDefault(t, "checks", checks)
	rapidDefault(t, "nofailfile", "true") // the seed says as much
	rapid.Check(t, func(rt *rapid.T) {
		plan := &plan{websocket: rapid.Bool().Draw(rt, "websocket"), buffer: rapid.SampledFrom([]int{1024, 2}).Draw(rt, "buffer")}
		rt.Repeat(map[string]func(*rapid.T){"do": func(rt *rapid.T) { plan.steps = append(plan.steps, drawStep(rt)) }})
		done, failure := plan.run(t)
		if failure != "" {
			rt.Fatalf("%s\n%s", strings.Join(done, "\n"), failure)
		}
	})
}

// rapidDefault sets one of rapid's flags for a test, unless the command line or the environment does.
func rapidDefault(t *testing.T, name, value string) {
	_, given := os.LookupEnv("RAPID_" + strings.ToUpper(name))
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid."+name })
	if f := flag.Lookup("rapid." + name); !given {
		old := f.Value.String()
		f.Value.Set(value)
		t.Cleanup(func() { f.Value.Set(old) })
	}
}

// A plan is what is done in one case.
type plan struct {
	websocket bool
	buffer    int // events that may wait for a handler
	steps     []step
}

// A step is one thing that somebody does. What has no effect as things are is passed over.
type step struct {
	act    string
	device int // the one that does it, or that it happens to: the next one, if it can't
	group  bool
	pick   int // which of the messages that it can be done to, counted from the latest one
	config zim.MessageSendConfig

	hasty bool // the next step begins before everybody has heard of this one
	look  bool // queries follow
}

// acts has the simplest first. What is there twice is done twice as often.
var acts = []string{
	"send", "send", "send", "send", "send", "send", "clear", "clear", "clear all", "revoke", "revoke", "revoke", "edit", "edit", "delete message",
	"delete message", "delete message", "delete messages", "delete all messages", "delete conversation", "delete all conversations", "mute", "unmute", "read messages", "read messages",
	"read conversation", "leave or join", "leave or join", "kick or invite", "lose connection", "lose connection", "log out", "crash", "come back",
	"come back", "restart",
}

var modelDevices = []string{"alice/one", "alice/two", "bob/one", "carol/one"}

func drawStep(rt *rapid.T) step {
	s := step{act: rapid.SampledFrom(acts).Draw(rt, "act"), device: rapid.IntRange(0, len(modelDevices)-1).Draw(rt, "device")}
	s.hasty, s.look = rapid.Bool().Draw(rt, "hasty"), rapid.Bool().Draw(rt, "look")
	switch s.act {
	case "send", "clear", "revoke", "edit", "delete message", "delete messages", "delete conversation", "mute", "unmute", "read messages":
		s.group = rapid.Bool().Draw(rt, "group")
	}
	switch s.act {
	case "revoke", "edit", "delete message", "read messages":
		s.pick = rapid.IntRange(0, 3).Draw(rt, "pick")
	case "send":
		s.config.HasReceipt = rapid.Bool().Draw(rt, "receipt")
		s.config.DisableUnreadMessageCount = rapid.IntRange(0, 4).Draw(rt, "quiet") == 4
	}
	if s.act == "send" || s.act == "edit" {
		s.config.MentionedUserIDs = rapid.SampledFrom([][]string{nil, nil, {"alice"}, {"bob", "alice"}, {"carol"}}).Draw(rt, "mentions")
		s.config.IsMentionAll = rapid.IntRange(0, 3).Draw(rt, "everybody") == 3
	}
	return s
}

func (s *step) String() string {
	var b strings.Builder
	b.WriteString(s.act)
	if s.group {
		b.WriteString(", in the group")
	}
	if s.pick > 0 {
		fmt.Fprintf(&b, ", the last but %d", s.pick)
	}
	if s.config.HasReceipt {
		b.WriteString(", with receipt")
	}
	if s.config.DisableUnreadMessageCount {
		b.WriteString(", quiet")
	}
	if m := mentionsOf(s.config.MentionedUserIDs, s.config.IsMentionAll); len(m) > 0 {
		fmt.Fprintf(&b, ", mentioning %s", strings.Join(m, " and "))
	}
	if s.hasty {
		b.WriteString(", hastily")
	}
	return b.String()
}

// A mismatch is what a case fails with: it is thrown, so that the bubble ends in order.
type mismatch string

// run does the steps in a bubble. It returns those that it did, and what was wrong after the last of them.
func (p *plan) run(t *testing.T) (done []string, failure string) {
	done = append(done, fmt.Sprintf("websocket %v, room for %d events", p.websocket, p.buffer))
	ended := false
	defer func() {
		if !ended { // by t.FailNow
			t.Log(strings.Join(done, "\n"))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if m, ok := recover().(mismatch); ok {
				failure = string(m)
			}
		}()
		w := newWorld(t, p)
		for i := range p.steps {
			s := &p.steps[i]
			d := w.chosen(s)
			if d == nil {
				continue
			}
			done = append(done, d.name+": "+s.String())
			if !w.do(s, d) {
				done[len(done)-1] += ": nothing to do"
			} else if !s.hasty {
				w.compare(s.look)
			}
		}
		done = append(done, "everybody comes back")
		for _, d := range w.devices {
			w.comeBack(d)
		}
		w.compare(true)
	})
	ended = true
	return done, failure
}

// A world is a backend, users' devices, and the model of what they should see.
type world struct {
	t       *testing.T
	srv     *zimtest.Server
	model   *numbersModel
	devices []*modelDevice
	buffer  int
	sent    int
}

// A modelDevice is a device that remembers what it was told last, as an application does.
type modelDevice struct {
	*zim.ZIM
	user, name string
	gate       *modelGate
	online     bool
	anew       bool // its program has begun anew, and no longer knows which conversations there were

	mu       sync.Mutex
	chats    map[zim.ConversationRef]string // guarded by mu; without those that were deleted
	total    int                            // guarded by mu
	receipts map[string]string              // guarded by mu; by conversation and number
	said     int64                          // guarded by mu; the last message that the peer has said to have read
}

// A modelGate is a network that can be lost.
type modelGate struct {
	transport.Dialer
	down atomic.Bool
}

func (g *modelGate) Dial(ctx context.Context) (transport.Conn, error) {
	if g.down.Load() {
		return nil, errors.New("the network is down")
	}
	return g.Dialer.Dial(ctx)
}

func newWorld(t *testing.T, p *plan) *world {
	w := &world{t: t, buffer: p.buffer, model: newNumbersModel(), srv: zimtest.NewServer(t, &zimtest.Options{App: func(a *backend.App) {
		several(a)
		a.Limits.LoginRate, a.Limits.RevokeWindow = -1, 24*time.Hour
	}})}
	w.srv.Register("alice", "bob", "carol")
	for _, name := range modelDevices {
		d := &modelDevice{name: name, gate: &modelGate{Dialer: w.srv.InProcess()}, chats: map[zim.ConversationRef]string{}, receipts: map[string]string{}}
		d.user, _, _ = strings.Cut(name, "/")
		if p.websocket {
			d.gate.Dialer = w.srv.WebSocket()
		}
		w.devices = append(w.devices, d)
		w.begin(d)
		w.comeBack(d)
	}
	t.Cleanup(func() {
		for _, d := range w.devices {
			d.Destroy()
		}
	})
	_, err := w.devices[3].CreateGroup(t.Context(), zim.GroupInfo{GroupID: "group"}, []string{"alice", "bob"}, nil)
	w.must(err)
	return w
}

// begin begins a device's program.
func (w *world) begin(d *modelDevice) {
	_, id, _ := strings.Cut(d.name, "/")
	z, err := zim.New(zim.AppConfig{
		AppID: zimtest.AppID, Transport: d.gate, DeviceID: id, Limits: zim.Limits{SendRate: -1}, MaxReconnectDelay: time.Second,
		EventBuffer: w.buffer,
	})
	w.must(err)
	d.ZIM = z
	zim.On(z, func(_ context.Context, e *zim.ConversationChanged) {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, info := range e.InfoList {
			if d.chats[info.Conversation.Ref()] = viewOf(info.Conversation); info.Event == zim.ConversationEventDeleted {
				delete(d.chats, info.Conversation.Ref())
			}
		}
	})
	zim.On(z, func(_ context.Context, e *zim.ConversationsAllDeleted) {
		d.mu.Lock()
		defer d.mu.Unlock()
		clear(d.chats)
	})
	zim.On(z, func(_ context.Context, e *zim.ConversationTotalUnreadMessageCountUpdated) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.total = e.TotalUnreadMessageCount
	})
	zim.On(z, func(_ context.Context, e *zim.MessageReceiptChanged) {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, r := range e.Infos {
			if !r.IsSelfOperated {
				d.receipts[fmt.Sprint(r.Conversation, r.MessageSeq)] = receiptView(r)
			}
		}
	})
	zim.On(z, func(_ context.Context, e *zim.ConversationMessageReceiptChanged) {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, r := range e.Infos {
			if !r.IsSelfOperated {
				d.said = r.MessageSeq
			}
		}
	})
}

func (w *world) comeBack(d *modelDevice) {
	if d.online {
		return
	}
	d.online = true
	if d.gate.down.Swap(false) {
		w.settle()
		return
	}
	w.must(d.Login(w.t.Context(), d.user, &zim.LoginConfig{Token: w.srv.TokenFor(d.user, 24*time.Hour)}))
}

// settle waits until those are connected who should be, and nothing happens any more.
func (w *world) settle() {
	for range 100 {
		synctest.Wait()
		if !slices.ContainsFunc(w.devices, func(d *modelDevice) bool {
			return d.online != (d.ConnectionState() == zim.ConnectionStateConnected)
		}) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	panic(mismatch("devices don't connect again"))
}

func (w *world) must(err error) {
	if err != nil {
		panic(mismatch(err.Error()))
	}
}

// refused fails the case unless a call failed with that code.
func (w *world) refused(err error, code zim.Code) {
	if zim.CodeOf(err) != code {
		panic(mismatch(fmt.Sprintf("got %v, want %v", err, code)))
	}
}

// compare fails the case unless what devices were told, and what they are told when they ask, is what the model says.
func (w *world) compare(look bool) {
	w.settle()
	for _, d := range w.devices {
		if !d.online {
			continue
		}
		if total := w.model.total(d.user); d.toldTotal() != total {
			panic(mismatch(fmt.Sprintf("%s was told a total of %d, want %d", d.name, d.toldTotal(), total)))
		}
		for _, c := range w.model.chats(d.user) {
			w.compareTold(d, c)
			if look {
				w.compareQueried(d, c)
			}
		}
		if !look {
			continue
		}
		total, err := d.QueryConversationTotalUnreadMessageCount(w.t.Context(), zim.ConversationTotalUnreadMessageCountQueryConfig{})
		w.must(err)
		w.equal(d, "total", fmt.Sprint(total), fmt.Sprint(w.model.total(d.user)))
		var got, want []string
		for v, err := range d.Conversations(w.t.Context(), zim.ConversationFilterOption{}) {
			w.must(err)
			got = append(got, fmt.Sprintf("%s: %s", v.ConversationID, viewOf(v)))
		}
		for _, c := range w.model.chats(d.user) {
			if c.sides[d.user].listed {
				want = append(want, fmt.Sprintf("%s: %s", c.ref(d.user).ID, c.view(d.user)))
			}
		}
		slices.Sort(got)
		w.equal(d, "list", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (d *modelDevice) toldTotal() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.total
}

func (w *world) equal(d *modelDevice, what, got, want string) {
	if got != want {
		panic(mismatch(fmt.Sprintf("%s: %s:\ngot  %s\nwant %s", d.name, what, got, want)))
	}
}

func (w *world) compareTold(d *modelDevice, c *modelChat) {
	ref := c.ref(d.user)
	want := c.view(d.user)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.anew && want == "none" {
		delete(d.chats, ref)
	}
	got, ok := d.chats[ref]
	if !ok {
		got = "none"
	}
	w.equal(d, "told of "+ref.ID, got, want)
	for _, msg := range c.messages {
		if msg.sender == d.user {
			w.equal(d, fmt.Sprintf("told of receipts for %s %d", ref.ID, msg.seq), d.receipts[fmt.Sprint(ref, msg.seq)], msg.told)
		}
	}
	if !c.group {
		w.equal(d, "told that the peer has read", fmt.Sprint(d.said), fmt.Sprint(c.sides[ref.ID].saidRead))
	}
}

func (w *world) compareQueried(d *modelDevice, c *modelChat) {
	ref := c.ref(d.user)
	v, err := d.QueryConversation(w.t.Context(), ref)
	if c.sides[d.user].listed {
		w.must(err)
		w.equal(d, "queried of "+ref.ID, viewOf(v), c.view(d.user))
	} else {
		w.refused(err, zim.ErrConversationConversationDoesNotExist)
	}
	seqs, want := c.receipts(d.user)
	if !c.sides[d.user].in || len(seqs) == 0 {
		return
	}
	var list []*zim.Message
	for _, seq := range seqs {
		list = append(list, &zim.Message{Conversation: ref, Seq: seq})
	}
	infos, failed, err := d.QueryMessageReceiptsInfo(w.t.Context(), ref, list)
	w.must(err)
	var got []string
	for _, r := range infos {
		got = append(got, fmt.Sprint(r.MessageSeq, " ", receiptView(r)))
	}
	for _, m := range failed {
		got = append(got, fmt.Sprint(m.Seq, " none"))
	}
	slices.Sort(got)
	slices.Sort(want)
	w.equal(d, "receipts of "+ref.ID, strings.Join(got, ", "), strings.Join(want, ", "))
}

package trust_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

// A person is a user of the world with one device, whose program ends and begins again.
type person struct {
	world  *world
	name   string
	dial   transport.Dialer
	dice   *rand.Rand    // of what the person writes
	outbox string        // the directory of durable messages
	down   chan struct{} // holds a token when the session is over and nobody meant it

	mu      sync.Mutex
	logins  *rand.Rand       // guarded by mu; of how long tokens are good
	token   string           // guarded by mu; the last one to log in with
	current *zim.ZIM         // guarded by mu
	slow    time.Duration    // guarded by mu; how long the next events take their handler
	away    bool             // guarded by mu; the person logged out and will come back
	open    []*zim.Message   // guarded by mu; of which is not known what became of them
	sent    []*zim.Message   // guarded by mu; acknowledged, and stored
	fates   map[string]*fate // guarded by mu; of those that were changed, by ID
	mirror  mirror           // guarded by mu
	resets  int              // guarded by mu; how often the feed began anew
	told    int              // guarded by mu; how often its run was told that the feed began anew

	owned map[string]*zimtest.Sending // guarded by mu; durable messages that the outbox has, by their local IDs
}

// begin starts the program.
func (p *person) begin() {
	w := p.world
	z, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: w.faults.Dialer(p.name, p.dial), DeviceID: "phone", OutboxDir: p.outbox})
	if err != nil {
		w.t.Fatal(err)
	}
	received := func(ctx context.Context, messages []*zim.Message) {
		p.mu.Lock()
		slow := p.slow
		p.slow = 0
		p.mu.Unlock()
		select {
		case <-time.After(slow):
		case <-ctx.Done():
			return // the program crashed before it was through with it
		}
		p.learn(messages)
		w.history.Received(p.reader(), messages...)
	}
	zim.On(z, func(ctx context.Context, e *zim.PeerMessageReceived) { received(ctx, e.Messages) })
	zim.On(z, func(ctx context.Context, e *zim.GroupMessageReceived) { received(ctx, e.Messages) })
	zim.On(z, func(ctx context.Context, e *zim.RoomMessageReceived) {
		w.note("told in the room", "%s", p.name)
		w.history.Received(p.reader(), e.Messages...)
	})
	p.watch(z)
	zim.On(z, func(_ context.Context, e *zim.SyncReset) { p.startOver(e) })
	zim.On(z, func(_ context.Context, e *zim.MessageSentStatusChanged) {
		for _, info := range e.Infos {
			p.mu.Lock()
			s := p.owned[info.Message.LocalID]
			delete(p.owned, info.Message.LocalID)
			p.mu.Unlock()
			if s != nil {
				s.Ended(info.Message, info.Err)
				w.note("durable", "%s is %v", info.Message.LocalID, info.Status)
			}
		}
	})
	zim.On(z, func(ctx context.Context, _ *zim.TokenWillExpire) { p.renew(ctx, z) })
	zim.On(z, func(_ context.Context, e *zim.ConnectionStateChanged) {
		if e.State != zim.ConnectionStateDisconnected {
			return
		}
		if e.Event == zim.ConnectionEventTokenExpired {
			w.note("expired", "%s", p.name)
		}
		p.logInAgain()
	})
	p.mu.Lock()
	p.current = z
	p.told = 0 // what the last run had not told the service that it handled, this one may be told again
	p.mu.Unlock()
	p.logInAgain()
}

// startOver is the handler for a feed that began anew, which it does once for each time that what was missed is not kept any more.
func (p *person) startOver(e *zim.SyncReset) {
	w := p.world
	w.note("sync reset", "%s: %s", p.name, e.Reason)
	p.mu.Lock()
	defer p.mu.Unlock()
	// One that the service decided on before a cause may come behind it: what counts is that there are no more of them.
	if p.told++; p.told > int(w.prunes.Load()) {
		w.t.Errorf("%s: the feed began anew for the %dth time, without as many causes: %+v", p.name, p.told, e)
	}
	p.resets++
	p.mirror = newMirror()
}

// reader is the name under which the history knows what the person receives: another one when something was left out.
func (p *person) reader() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.resets == 0 {
		return p.name
	}
	return fmt.Sprint(p.name, "/", p.resets)
}

// logInAgain tells the supervisor, if there still is one, that there may be no session.
func (p *person) logInAgain() {
	select {
	case p.down <- struct{}{}:
	default:
	}
}

func (p *person) zim() *zim.ZIM {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

// supervise logs in again whenever the session is over.
func (p *person) supervise() {
	for {
		select {
		case <-p.down:
		case <-p.world.over:
			return
		}
		for wait := time.Duration(0); ; wait = time.Second {
			if !p.world.until(wait) {
				return
			}
			p.mu.Lock()
			z, away := p.current, p.away
			p.mu.Unlock()
			if away || z.ConnectionState() != zim.ConnectionStateDisconnected || p.login(z) {
				break
			}
		}
	}
}

// login logs in with a token that is soon over. It reports whether that succeeded.
func (p *person) login(z *zim.ZIM) bool {
	p.mu.Lock()
	ttl := 80*time.Second + time.Duration(p.logins.Int64N(int64(20*time.Second)))
	p.token = p.world.srv.TokenFor(p.name, ttl)
	config := zim.LoginConfig{Token: p.token}
	p.mu.Unlock()
	if err := z.Login(context.Background(), p.name, &config); err != nil {
		p.world.note("login failed", "%s: %v", p.name, err)
		return false
	}
	if _, err := z.EnterRoom(context.Background(), zim.RoomInfo{RoomID: p.world.room.ID}, nil); err != nil {
		p.world.note("room not entered", "%s: %v", p.name, err)
	}
	return true
}

// renew renews the token; but some tokens are no good, some come late, and some are older than what the service has.
func (p *person) renew(ctx context.Context, z *zim.ZIM) {
	w := p.world
	p.mu.Lock()
	older, how, late := p.token, p.logins.IntN(6), 20*time.Second+time.Duration(p.logins.Int64N(int64(20*time.Second)))
	p.mu.Unlock()
	try := func(what, token string) {
		if err := z.RenewToken(ctx, token); err != nil {
			w.note(what+" failed", "%s: %v", p.name, err)
			return
		}
		w.note(what, "%s", p.name)
	}
	switch how {
	case 0:
		try("bad renewal", "04no token")
		return
	case 1:
		select {
		case <-time.After(late):
		case <-ctx.Done():
			return
		}
		try("late renewal", w.srv.TokenFor(p.name, 10*time.Minute))
		return
	}
	try("renewal", w.srv.TokenFor(p.name, 10*time.Minute))
	if how == 2 {
		w.note("older token", "%s", p.name)
		try("older renewal", older)
	}
}

// comeBack makes sure that the person is there, after everything.
func (p *person) comeBack() {
	for range 100 {
		if z := p.zim(); z.ConnectionState() == zim.ConnectionStateConnected || z.ConnectionState() == zim.ConnectionStateReconnecting || p.login(z) {
			return
		}
		time.Sleep(time.Second)
	}
	p.world.t.Errorf("%s can't log in", p.name)
}

// write sends what the person has to say.
func (p *person) write() {
	w := p.world
	var wg sync.WaitGroup
	for n := range messages {
		time.Sleep(time.Duration(p.dice.Int64N(int64(4 * time.Second))))
		to := w.group
		if other := w.people[p.dice.IntN(users)]; other != p {
			to = zim.Peer(other.name)
		}
		if p.dice.IntN(8) == 0 {
			to = w.room
		}
		var content zim.Content = &zim.TextMessage{Message: fmt.Sprint(p.name, " says ", n)}
		if p.dice.IntN(8) == 0 {
			content = &zim.CommandMessage{Message: []byte(fmt.Sprint(p.name, " commands ", n))}
			w.note("commands", "%s", p.name)
		}
		patience := time.Hour
		if p.dice.IntN(4) == 0 {
			patience = time.Duration(p.dice.Int64N(int64(5 * time.Second)))
		}
		look := p.dice.IntN(3) == 0
		send := func() { p.send(content, to, patience, look) }
		if content.Type() == zim.MessageTypeText && to != w.room && p.dice.IntN(6) == 0 {
			send = func() { p.entrust(content, to) }
		}
		if p.dice.IntN(3) == 0 {
			wg.Go(send) // and goes on without waiting
		} else {
			send()
		}
		if p.dice.IntN(4) == 0 {
			p.retry()
		}
		if p.dice.IntN(4) == 0 {
			p.change(n)
		}
	}
	wg.Wait()
}

// send sends one message, with the patience of its context, and perhaps looks for it.
func (p *person) send(content zim.Content, to zim.ConversationRef, patience time.Duration, look bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p.try(ctx, content, to, nil)
	if look && content.Type() != zim.MessageTypeCommand && to != p.world.room {
		p.world.note("queries", "%s", p.name)
		p.world.history.QueryHistory(ctx, p.name, p.zim(), to, zim.MessageQueryConfig{Count: 100, Reverse: true})
	}
}

// entrust leaves a message to the outbox.
func (p *person) entrust(content zim.Content, to zim.ConversationRef) {
	s := p.world.history.Invoked(content, to)
	_, err := p.zim().SendMessage(context.Background(), content, to, &zim.MessageSendConfig{
		Durable: true,
		Notification: zim.MessageSendNotification{OnMessageAttached: func(m *zim.Message) {
			s.Attached(m)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.owned[m.LocalID] = s
		}},
	})
	if err != nil {
		p.world.note("refused", "to %v, as durable: %v", to, err)
		s.Ended(nil, err)
	}
}

// try makes one try at a message, the first one or another.
func (p *person) try(ctx context.Context, content zim.Content, to zim.ConversationRef, retry *zim.Message) {
	w := p.world
	m, err := w.history.Send(ctx, p.zim(), content, to, &zim.MessageSendConfig{Retry: retry})
	switch {
	case err == nil:
		w.note("acknowledged", "%s as %s", m.LocalID, m.ID)
		if to == w.room {
			w.note("sent to the room", "%s", p.name)
		} else if content.Type() != zim.MessageTypeCommand {
			p.mu.Lock()
			p.sent = append(p.sent, m)
			p.mu.Unlock()
		}
		return
	case errors.Is(err, zim.ErrOutcomeUnknown):
		w.note("unknown", "to %v: %v", to, err)
	default:
		w.note("refused", "to %v: %v", to, err)
	}
	if m == nil {
		m = retry // it was not even attached again
	}
	if m != nil && content.Type() != zim.MessageTypeCommand && to != w.room {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.open = append(p.open, m)
	}
}

// retry sends again what may or may not have been sent.
func (p *person) retry() {
	p.mu.Lock()
	if len(p.open) == 0 {
		p.mu.Unlock()
		return
	}
	// The one that was made first: they may have ended together, in any order.
	slices.SortFunc(p.open, func(a, b *zim.Message) int { return strings.Compare(a.LocalID, b.LocalID) })
	m := p.open[0]
	p.open = p.open[1:]
	p.mu.Unlock()
	p.world.note("retried", "%s", m.LocalID)
	p.try(context.Background(), m.Content, m.Conversation, m)
}

// resolve sends again whatever has no certain end, until it has one.
func (p *person) resolve() {
	p.mu.Lock()
	for id := range p.owned {
		p.world.t.Errorf("%s: the outbox never told what became of %s", p.name, id)
	}
	p.mu.Unlock()
	for range 1000 {
		p.mu.Lock()
		left := len(p.open)
		p.mu.Unlock()
		if left == 0 {
			return
		}
		p.retry()
		time.Sleep(time.Second)
	}
	p.world.t.Errorf("%s: there are messages without a certain end", p.name)
}

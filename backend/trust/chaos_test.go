package trust_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/zim-go/zim"
)

// disturb does to the world what the network does not, until it is over.
func (w *world) disturb(dice *rand.Rand) {
	within := func(d time.Duration) time.Duration { return time.Duration(dice.Int64N(int64(d))) }
	for w.until(within(15 * time.Second)) {
		p := w.people[dice.IntN(len(w.people))]
		switch dice.IntN(9) {
		case 0:
			w.note("restart", "")
			w.srv.Stop()
			time.Sleep(within(20 * time.Second))
			w.srv.Start()
		case 1:
			w.note("cut by the backend", "%s", p.name)
			w.srv.Cut(p.name)
		case 2:
			w.note("kicked", "%s", p.name)
			w.takeOver(p, "tablet", within(10*time.Second))
		case 3:
			w.note("crash", "%s", p.name)
			p.zim().Destroy()
			w.history.Restarted(p.reader())
			time.Sleep(within(10 * time.Second))
			p.begin()
		case 4:
			w.note("away", "%s", p.name)
			p.leave(within(2*time.Minute), func() {})
		case 5:
			w.note("storm", "%s", p.name)
			var wg sync.WaitGroup
			for i := range 5 {
				stay := within(5 * time.Second)
				wg.Go(func() { w.takeOver(p, fmt.Sprint("device", i), stay) })
			}
			wg.Wait()
		case 6:
			if !w.forgets {
				continue
			}
			w.note("forgotten", "%s", p.name)
			kept := within(10 * time.Second)
			p.leave(within(2*time.Minute), func() {
				w.prunes.Add(1)
				if err := w.store.Prune(kept); err != nil {
					w.t.Error(err)
				}
			})
		default:
			p.mu.Lock()
			p.slow = within(30 * time.Second)
			p.mu.Unlock()
		}
	}
}

// takeOver is another device of the person, for a while.
func (w *world) takeOver(p *person, device string, stay time.Duration) {
	z := w.rival(p.name, device)
	defer z.Destroy()
	if err := z.Login(context.Background(), p.name, &zim.LoginConfig{Token: w.srv.Token(p.name)}); err != nil {
		w.note("login failed", "%s on %s: %v", p.name, device, err)
		return
	}
	time.Sleep(stay)
}

// leave logs out for a while, at whose end something is done.
func (p *person) leave(d time.Duration, last func()) {
	p.mu.Lock()
	z := p.current
	p.away = true
	p.mu.Unlock()
	if err := z.Logout(context.Background(), nil); err != nil {
		p.world.note("logout failed", "%s: %v", p.name, err)
	}
	p.world.until(d)
	last()
	p.mu.Lock()
	p.away = false
	p.mu.Unlock()
	p.logInAgain()
}

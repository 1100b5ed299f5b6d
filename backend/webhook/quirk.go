package webhook

import (
	"maps"
	"net/url"
	"reflect"
	"time"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/internal/msgtype"
)

// Quirks make callbacks as unpleasant as the documentation allows, so that receivers can be tested. The zero value has none of them.
type Quirks struct {
	EncodeBody    bool          // the whole body is percent-encoded, as a query is
	EncodeMsgBody bool          // the msg_body of what is no text is
	OmitZero      bool          // what is zero, false or empty is left out
	Repeat        float64       // the share of callbacks that come twice, from 0 to 1
	Drop          float64       // the share of callbacks that never come
	Delay         time.Duration // callbacks come up to so much later, each by another time, and so in another order
	Seed          uint64        // of what is left to chance: with the same one, it is the same
}

// spoil returns what becomes of a callback: it may be late, come twice, or never.
func (s *Sender) spoil(c *store.Callback) []*store.Callback {
	q := &s.config.Quirks
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*store.Callback
	if s.chance.Float64() >= q.Drop {
		list = append(list, c)
	}
	if len(list) > 0 && s.chance.Float64() < q.Repeat {
		list = append(list, new(*c))
	}
	for _, c := range list {
		if q.Delay > 0 {
			c.Due += s.chance.Int64N(q.Delay.Milliseconds() + 1)
		}
	}
	return list
}

// valid reports whether there are such quirks.
func (q *Quirks) valid() bool {
	return q.Repeat >= 0 && q.Repeat <= 1 && q.Drop >= 0 && q.Drop <= 1 && q.Delay >= 0
}

// shape returns the fields of a callback as they are to be written.
func (q *Quirks) shape(fields Fields) Fields {
	if !q.EncodeMsgBody && !q.OmitZero {
		return fields
	}
	fields = maps.Clone(fields) // they may become another callback, too
	typ, _ := fields["msg_type"].(int32)
	if body, ok := fields["msg_body"].(string); ok && q.EncodeMsgBody && typ != msgtype.Text && typ != msgtype.Custom {
		fields["msg_body"] = url.QueryEscape(body)
	}
	for name, v := range fields {
		if r := reflect.ValueOf(v); q.OmitZero && (r.IsZero() || r.Kind() == reflect.Slice && r.Len() == 0) {
			delete(fields, name)
		}
	}
	return fields
}

// encode changes how a body is written.
func (q *Quirks) encode(body []byte) []byte {
	if q.EncodeBody {
		return []byte(url.QueryEscape(string(body)))
	}
	return body
}

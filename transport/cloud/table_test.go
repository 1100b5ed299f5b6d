package cloud_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport/cloud"
	"github.com/zim-go/zim/wire"
)

func TestSignature(t *testing.T) {
	for _, v := range []struct {
		app    uint32
		nonce  string
		secret string
		at     int64
		want   string
	}{
		{12345, "4fd24687296dd9f3", "9193cc662a4c0ec135ec71fb57194b38", 1615186943, "43e5cfcca828314675f91b001390566a"},
		{1234567890, "00112233445566ff", secret, 1700000000, "9d41696e1f9a5e0f4184214465b807c2"},
	} {
		if got := cloud.Signature(v.app, v.nonce, token.Secret(v.secret), v.at); got != v.want {
			t.Errorf("app %d: %s, want %s", v.app, got, v.want)
		}
	}
}

// The documented return codes are all there, with what the documentation says about trying again, and a code that the SDK has.
func TestCodes(t *testing.T) {
	known := map[string]cloud.KnownCode{}
	for _, c := range cloud.Codes() {
		known[strconv.FormatInt(c.Code, 10)] = c
	}
	for _, row := range readTSV(t, "codes.tsv") {
		c := known[row[0]]
		if got := []string{row[0], c.Name, c.Kind, strconv.Itoa(int(c.ZIM))}; strings.Join(got, " ") != strings.Join(row, " ") {
			t.Errorf("the table has %v, want %v", got, row)
		}
		if c.ZIM != 0 && strings.HasPrefix(zim.Code(c.ZIM).String(), "Code(") {
			t.Errorf("%s: the SDK has no code %d", row[0], c.ZIM)
		}
		delete(known, row[0])
	}
	for code := range known {
		t.Errorf("%s is not documented", code)
	}
}

// The actions have the method and the rates of the documentation.
func TestActions(t *testing.T) {
	documented := map[string][]string{}
	for _, row := range readTSV(t, "actions.tsv") {
		documented[row[0]] = row
	}
	for _, a := range cloud.Actions() {
		row := documented[a.Name]
		if row == nil {
			t.Errorf("%s is not documented", a.Name)
			continue
		}
		if (row[1] == "GET") != a.Get {
			t.Errorf("%s: the method is %s", a.Name, row[1])
		}
		limit, per, _ := strings.Cut(strings.ReplaceAll(row[2], "*", ""), "/s")
		n := 0.0
		fmt.Sscan(limit, &n)
		got := a.Rate
		if strings.HasPrefix(per, " per group") || strings.HasPrefix(per, " per room") {
			got = a.PerKey
		} else if a.PerKey != 0 {
			t.Errorf("%s has no rate for each group or room", a.Name)
		}
		perDay := 0
		if _, day, ok := strings.Cut(row[2], " and "); ok {
			fmt.Sscanf(day, "%d per 24 h", &perDay)
		}
		if a.PerDay != perDay {
			t.Errorf("%s: %d in a day, want %s", a.Name, a.PerDay, row[2])
		}
		if got != n || a.Counted != strings.Contains(limit, "messages") {
			t.Errorf("%s: %v in a second, want %s", a.Name, got, row[2])
		}
	}
}

func TestEnvelope(t *testing.T) {
	id := []byte("0123456789abcdef")
	for _, extended := range []string{"", "x", `{"a":1}`, "\nzim:", cloud.Wrap("x", id)} {
		wrapped := cloud.Wrap(extended, id)
		if len(wrapped) != len(extended)+27 || !strings.HasPrefix(wrapped, extended) {
			t.Errorf("%q became %q", extended, wrapped)
		}
		if got, gotID := cloud.Unwrap(wrapped); got != extended || !bytes.Equal(gotID, id) {
			t.Errorf("%q came back as %q with %q", extended, got, gotID)
		}
		if extended != cloud.Wrap("x", id) {
			if got, gotID := cloud.Unwrap(extended); got != extended || gotID != nil {
				t.Errorf("%q, which has no ID, came back as %q with %q", extended, got, gotID)
			}
		}
	}
}

func FuzzEnvelope(f *testing.F) {
	f.Add("x\nzim:AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, payload string) {
		extended, id := cloud.Unwrap(payload)
		if cloud.Wrap(extended, id) != payload {
			t.Errorf("%q is not what it was made of", payload)
		}
	})
}

// The service writes numbers as texts and texts as numbers, and leaves out what is nothing. IDs have more digits than a float.
func TestDecodingRules(t *testing.T) {
	o, err := cloud.Parse([]byte(`{"MsgId":1234567890123456789,"msgid":5,"Text":"1234567890123456788","Big":9999999999999999999,"List":null,"Float":1.5}`))
	if err != nil {
		t.Fatal(err)
	}
	if o.Num("MsgId") != 1234567890123456789 || o.Text("MsgId") != "1234567890123456789" || o.Num("Text") != 1234567890123456788 {
		t.Errorf("IDs lost digits: %d %s %d", o.Num("MsgId"), o.Text("MsgId"), o.Num("Text"))
	}
	if uint64(o.Num("Big")) != 9999999999999999999 {
		t.Errorf("a large ID became %d", o.Num("Big"))
	}
	if o.Num("MSGID") != 0 || o.Num("Missing") != 0 || o.Num("Float") != 0 || o.Len("List") != 0 {
		t.Error("keys count exactly, and what is not there is zero")
	}
	for _, bad := range []string{"", "null", "[]", "1", `{"a":1}x`, `{"a":1}{}`, "{", "<html>", strings.Repeat("[", 20000)} {
		if _, err := cloud.Parse([]byte(bad)); err == nil {
			t.Errorf("%.20q was read", bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(int32(11), `{"Origin":{"Url":"u","Width":1}}`)
	f.Add(int32(10), `{"multi_msg":[{"msg_type":1,"callback_content":"x"},{"msg_type":12,"callback_content":{"download_url":"u"}}]}`)
	f.Add(int32(32), `%7B%22type%22%3A11%7D`)
	f.Add(int32(13), "no object")
	f.Fuzz(func(t *testing.T, typ int32, text string) {
		content := cloud.Decode(typ, text)
		m := map[int32]proto.Message{
			10: new(wire.MultipleContent), 11: new(wire.ImageContent), 12: new(wire.FileContent), 13: new(wire.AudioContent), 14: new(wire.VideoContent),
			31: new(wire.RevokeContent), 32: new(wire.TipsContent), 100: new(wire.CombineContent),
		}[typ]
		if m != nil && proto.Unmarshal(content, m) != nil {
			t.Errorf("type %d: %x is no content", typ, content)
		}
	})
}

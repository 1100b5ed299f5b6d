package cloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxName = 64 // bytes of an event's name
	// A body that is small enough can still be costly to take apart.
	maxDepth  = 16
	maxValues = 50_000
	maxParts  = 100 // of a form
)

var errSyntax = errors.New("cloud: the body is no callback")

// fields are what a callback says. The methods return zero for a field that is missing, as the service may leave out what is zero. The first
// field that is not what it has to be is in err, and all are zero from then on.
type fields struct {
	name   string // of the event
	values map[string]any
	err    error

	lenient bool // what is malformed is taken for missing instead
}

// parseCallback reads the body of a callback: JSON, JSON in percent-encoding, or a form, whose fields are those of the callback, or one of
// which is the JSON. All three were seen, and the Content-Type does not tell.
func parseCallback(body []byte) (*fields, error) {
	text := strings.TrimSpace(string(body))
	if !utf8.ValidString(text) {
		return nil, errSyntax
	}
	values, err := parseText(text)
	if err != nil {
		return nil, err
	}
	f := &fields{values: values}
	f.name = f.text("event")
	return f, f.err
}

func parseText(text string) (map[string]any, error) {
	if strings.HasPrefix(text, "{") {
		return parseObject(text)
	}
	if len(text) >= 3 && strings.EqualFold(text[:3], "%7B") {
		if whole, err := url.QueryUnescape(text); err == nil && utf8.ValidString(whole) {
			if values, err := parseObject(whole); err == nil {
				return values, nil
			}
		}
	}
	if !strings.Contains(text, "=") || strings.Count(text, "&") >= maxParts {
		return nil, errSyntax
	}
	form, err := url.ParseQuery(text)
	if err != nil || len(form) == 0 {
		return nil, errSyntax
	}
	values := make(map[string]any, len(form))
	for key, list := range form {
		if len(list) != 1 || !utf8.ValidString(key) || !utf8.ValidString(list[0]) {
			return nil, errSyntax
		}
		if len(form) == 1 {
			for _, s := range []string{key, list[0]} {
				if s = strings.TrimSpace(s); strings.HasPrefix(s, "{") {
					return parseObject(s)
				}
			}
		}
		values[key] = list[0]
	}
	return values, nil
}

// parseObject reads one JSON object. Numbers stay what is written. Keys that are there twice are refused: else others might
// read something else in the same text.
func parseObject(text string) (map[string]any, error) {
	v, err := parseJSON(text)
	m, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, errSyntax
	}
	return m, nil
}

func parseJSON(text string) (any, error) {
	pairs, ok := survey(text)
	if !ok {
		return nil, errSyntax
	}
	var v any
	if err := decodeJSON(strings.NewReader(text), &v); err != nil {
		return nil, err
	}
	if pairsOf(v) != pairs {
		return nil, errSyntax // a key was there twice
	}
	return v, nil
}

// survey counts the keys with a value in a text of JSON, and reports whether it is worth decoding: not too deep, and with not too many values. Of
// what is no JSON it says nothing.
func survey(text string) (pairs int, ok bool) {
	depth, values, quoted := 0, 1, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ':':
			pairs++
		case c == ',':
			values++
		case c == '{' || c == '[':
			values++
			if depth++; depth > maxDepth {
				return 0, false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return pairs, values <= maxValues
}

// pairsOf counts the keys with a value in what was decoded, where each is there once.
func pairsOf(v any) (pairs int) {
	switch v := v.(type) {
	case map[string]any:
		pairs = len(v)
		for _, e := range v {
			pairs += pairsOf(e)
		}
	case []any:
		for _, e := range v {
			pairs += pairsOf(e)
		}
	}
	return pairs
}

func (f *fields) fail(key string) {
	if f.err == nil && !f.lenient {
		f.err = fmt.Errorf("cloud: the field %s is malformed", key)
	}
}

// text returns a string, or a number as it was written.
func (f *fields) text(key string) string {
	switch v := f.values[key].(type) {
	case nil:
	case string:
		if f.err == nil {
			return v
		}
	case json.Number:
		if f.err == nil {
			return v.String()
		}
	default:
		f.fail(key)
	}
	return ""
}

// number returns an integer, which may be written as a string; an empty one is zero.
func (f *fields) number(key string) int64 {
	s := f.text(key)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		f.fail(key)
		return 0
	}
	return n
}

// id returns the ID of a message. One that is too large for an int64 keeps its bits.
func (f *fields) id(key string) int64 {
	s := f.text(key)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		f.fail(key)
		return 0
	}
	return int64(n)
}

// small returns an integer that isn't negative and fits into 31 bits.
func (f *fields) small(key string) int32 {
	n := f.number(key)
	if n < 0 || n > 1<<31-1 {
		f.fail(key)
		return 0
	}
	return int32(n)
}

// list returns a list, which a form has as the text of one.
func (f *fields) list(key string) []any {
	switch v := f.values[key].(type) {
	case nil:
	case []any:
		return v
	case string:
		if v == "" {
			return nil
		}
		w, err := parseJSON(v)
		if list, ok := w.([]any); err == nil && ok {
			return list
		}
		f.fail(key)
	default:
		f.fail(key)
	}
	return nil
}

// texts returns a list of strings.
func (f *fields) texts(key string) (list []string) {
	for _, v := range f.list(key) {
		s, ok := v.(string)
		if !ok {
			f.fail(key)
			return nil
		}
		list = append(list, s)
	}
	return list
}

// objects returns a list of objects. What is malformed in one of them is in its own err.
func (f *fields) objects(key string) (list []*fields) {
	for _, v := range f.list(key) {
		m, ok := v.(map[string]any)
		if !ok {
			f.fail(key)
			return nil
		}
		list = append(list, &fields{values: m, lenient: f.lenient})
	}
	return list
}

// object returns an object, which is without values if it is missing.
func (f *fields) object(key string) *fields {
	m, ok := f.values[key].(map[string]any)
	if !ok && f.values[key] != nil {
		f.fail(key)
	}
	return &fields{values: m, lenient: f.lenient}
}

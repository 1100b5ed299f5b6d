package cloud

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
)

// An object is a JSON object of the service's. Keys count exactly as they are written. What is missing, null or of another type is zero, but
// a number may be written as text, and an ID as a number: the service does both. Numbers have all of their digits.
type object map[string]any

var errNoObject = errors.New("cloud: what came is no JSON object")

// parse reads one object, and nothing behind it.
func parse(b []byte) (object, error) {
	var o object
	if err := decodeJSON(bytes.NewReader(b), &o); err != nil || o == nil {
		return nil, errNoObject // the cause would quote what came
	}
	return o, nil
}

// decodeJSON decodes one value into v, and fails if something is behind it. Numbers stay what is written.
func decodeJSON(r io.Reader, v any) error {
	d := json.NewDecoder(r)
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errNoObject
	}
	return nil
}

func (o object) text(key string) string {
	switch v := o[key].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// num returns a whole number. One beyond what an int64 holds, as an ID may be, keeps its bits.
func (o object) num(key string) int64 {
	text := o.text(key)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return int64(n)
	}
	return 0
}

// small is num for what fits into 32 bits: what doesn't is the nearest that does.
func (o object) small(key string) int32 {
	return int32(min(max(o.num(key), math.MinInt32), math.MaxInt32))
}

func (o object) millis(key string) int64 { return millis(o.num(key)) }

// millis returns a time in milliseconds. Some are in seconds, contrary to the documentation, which can be told by how large they are.
func millis(n int64) int64 {
	if n > -1e11 && n < 1e11 {
		return n * 1000
	}
	return n
}

func (o object) object(key string) object {
	v, _ := o[key].(map[string]any)
	return v
}

func (o object) objects(key string) (list []object) {
	items, _ := o[key].([]any)
	for _, item := range items {
		if v, ok := item.(map[string]any); ok {
			list = append(list, v)
		}
	}
	return list
}

// failures reads the list of those for whom something failed.
func (o object) failures(key string) (list []Failure) {
	for _, item := range o.objects(key) {
		list = append(list, Failure{UserID: item.text("UserId"), Code: item.num("SubCode")})
	}
	return list
}

package restapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/zim-go/zim/backend/internal/apicode"
	"github.com/zim-go/zim/internal/ident"
)

const (
	maxDepth = 16     // of JSON
	maxNodes = 50_000 // values in JSON
)

// A tree is what a request says, before it is known what the action wants: strings, json.Numbers, booleans, nil, []any and map[string]any.
// Parameters of a query are []string.
type tree = map[string]any

// parseJSON reads one object. It is stricter than encoding/json: no name comes twice, no text is mended, and the depth is bounded.
func parseJSON(body []byte) (tree, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("the body is not UTF-8")
	}
	p := &parser{Decoder: json.NewDecoder(bytes.NewReader(body))}
	p.UseNumber()
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := p.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the object")
	}
	object, ok := v.(tree)
	if !ok {
		return nil, errors.New("the body is no JSON object")
	}
	return object, nil
}

type parser struct {
	*json.Decoder
	nodes int
}

var errMalformed = errors.New("the body is malformed JSON")

func (p *parser) value(depth int) (any, error) {
	tok, err := p.Token()
	if err != nil {
		return nil, errMalformed // its own text may quote the body
	}
	if p.nodes++; p.nodes > maxNodes {
		return nil, errors.New("the JSON has too many values")
	}
	open, nested := tok.(json.Delim)
	if !nested {
		return tok, nil
	}
	if depth++; depth > maxDepth {
		return nil, errors.New("the JSON is nested too deeply")
	}
	if open == '[' {
		list := []any{}
		for p.More() {
			v, err := p.value(depth)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, p.end()
	}
	object := tree{}
	for p.More() {
		name, err := p.Token()
		if err != nil {
			return nil, errMalformed
		}
		key, ok := name.(string)
		if !ok {
			return nil, errMalformed
		}
		if _, twice := object[key]; twice {
			return nil, errors.New("a name comes twice in the JSON")
		}
		if object[key], err = p.value(depth); err != nil {
			return nil, err
		}
	}
	return object, p.end()
}

func (p *parser) end() error {
	if _, err := p.Token(); err != nil {
		return errMalformed
	}
	return nil
}

// parseQuery reads business parameters. A list is written Name[]=a&Name[]=b or Name=a&Name=b.
func parseQuery(values url.Values) (tree, *failure) {
	t := tree{}
	for name, list := range values {
		key := strings.TrimSuffix(name, "[]")
		if _, twice := t[key]; twice {
			return nil, badInput("a list is written in two ways")
		}
		for _, v := range list {
			if !utf8.ValidString(v) {
				return nil, badInput("a parameter is not UTF-8")
			}
		}
		t[key] = list
	}
	return t, nil
}

// bind fills in's fields from a tree, by their exact names, and holds them against their tags. Names that there are no fields for are ignored,
// as documented; what is missing or null stays zero. A tag has words:
//
//	needed    a string or list that may not be empty
//	user, id  a user ID, or an ID of a group or room; in a list, all of them
//	max=n     a string has up to n bytes, a list up to n elements
//	each=n    the strings of a list have up to n bytes
func bind(in reflect.Value, t tree) *failure {
	for i := range in.NumField() {
		field, v := in.Type().Field(i), in.Field(i)
		if field.Anonymous {
			if f := bind(v, t); f != nil {
				return f
			}
			continue
		}
		if raw := t[field.Name]; raw != nil {
			if f := set(v, raw, field.Name); f != nil {
				return f
			}
		}
		for word := range strings.SplitSeq(field.Tag.Get("zim"), ",") {
			if f := check(v, word, field.Name); f != nil {
				return f
			}
		}
	}
	return nil
}

func set(v reflect.Value, raw any, name string) *failure {
	wrong := badInput(name + " is of the wrong type")
	if list, ok := raw.([]string); ok && v.Kind() != reflect.Slice {
		if len(list) != 1 {
			return badInput(name + " comes more than once")
		}
		raw = list[0]
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return set(v.Elem(), raw, name)
	case reflect.String:
		s, ok := raw.(string)
		if !ok {
			return wrong
		}
		v.SetString(s)
	case reflect.Int64:
		var s string
		switch raw := raw.(type) {
		case json.Number:
			s = raw.String()
		case string:
			s = raw
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return wrong
		}
		v.SetInt(n)
	case reflect.Bool:
		b, ok := raw.(bool)
		if s, text := raw.(string); text {
			var err error
			b, err = strconv.ParseBool(s)
			ok = err == nil
		}
		if !ok {
			return wrong
		}
		v.SetBool(b)
	case reflect.Struct:
		object, ok := raw.(tree)
		if !ok {
			return wrong
		}
		return bind(v, object)
	case reflect.Slice:
		return setList(v, raw, name)
	case reflect.Map:
		object, ok := raw.(tree)
		if !ok {
			return wrong
		}
		v.Set(reflect.MakeMap(v.Type()))
		for key, raw := range object {
			element := reflect.New(v.Type().Elem()).Elem()
			if f := set(element, raw, name); f != nil {
				return f
			}
			v.SetMapIndex(reflect.ValueOf(key), element)
		}
	default:
		panic("restapi: a field of the type " + v.Type().String())
	}
	return nil
}

func setList(v reflect.Value, raw any, name string) *failure {
	var list []any
	switch raw := raw.(type) {
	case []any:
		list = raw
	case []string:
		for _, s := range raw {
			list = append(list, s)
		}
	default:
		return badInput(name + " is of the wrong type")
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
	for i, raw := range list {
		if raw == nil {
			return badInput(name + " has an element that is null")
		}
		if f := set(v.Index(i), raw, name); f != nil {
			return f
		}
	}
	return nil
}

func check(v reflect.Value, word, name string) *failure {
	word, value, _ := strings.Cut(word, "=")
	limit, _ := strconv.Atoi(value)
	switch word {
	case "":
	case "needed":
		if v.Len() == 0 {
			return badInput(name + " is missing")
		}
	case "max":
		switch {
		case v.Len() <= limit:
		case v.Kind() == reflect.Slice:
			return fail(apicode.TooManyUsers, name+" has too many elements")
		default:
			return badInput(name + " is too long")
		}
	case "user", "id", "each":
		if v.Kind() == reflect.String {
			return checkID(v.String(), word, limit, name)
		}
		for i := range v.Len() {
			if v.Index(i).Len() == 0 {
				return badInput(name + " has an empty element")
			}
			if f := checkID(v.Index(i).String(), word, limit, name); f != nil {
				return f
			}
		}
	default:
		panic("restapi: " + name + " has a tag with " + word)
	}
	return nil
}

// checkID checks an ID. Whether it may be empty says another word.
func checkID(id, word string, limit int, name string) *failure {
	switch {
	case id == "":
	case word == "each" && len(id) > limit:
		return badInput(name + " has an element that is too long")
	case word == "user" && len(id) > ident.MaxUserID:
		return fail(apicode.UserIDTooLong, name+" has a user ID of more than 32 bytes")
	case word == "user" && ident.CheckUserID(id) != nil, word == "id" && ident.CheckRoomID(id) != nil:
		return badInput(name + " has an ID with characters that are not allowed")
	}
	return nil
}

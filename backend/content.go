package backend

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/internal/payload"
	"github.com/zim-go/zim/wire"
)

// Documented priorities.
const (
	priorityLow  = 1
	priorityHigh = 3
)

// transient reports whether messages of a type are not kept.
func transient(typ int32) bool { return typ == msgtype.Command || typ == msgtype.Barrage }

// media reports whether messages of a type are about a file.
func isMedia(typ int32) bool { return msgtype.Image <= typ && typ <= msgtype.Video }

// ordinary reports whether messages of a type can be replied to, pinned and combined.
func ordinary(typ int32) bool {
	return typ == msgtype.Text || typ == msgtype.Multiple || isMedia(typ) || typ == msgtype.Combine || typ == msgtype.Custom
}

// check holds content against the limits of its type, and returns it in the form in which it is kept. item says that it is
// part of a message with several.
func (l *Limits) check(typ int32, content []byte, item bool) ([]byte, *wire.Error) {
	switch typ {
	case msgtype.Text:
		return checkSingle(content, func(v []byte) *wire.Error { return checkText("text", v, l.TextSize) })
	case msgtype.Custom:
		c := new(wire.CustomContent)
		return checkContent(content, c, func() *wire.Error {
			if c.SubType < 0 || c.SubType > maxSubType {
				return refuse(codeParamsInvalid, "the sub-type must be 0 to 200")
			}
			if len(c.SearchedContent) > maxSearched {
				return tooLarge("searched content", len(c.SearchedContent), maxSearched)
			}
			return checkText("custom message", []byte(c.Message), l.CustomSize)
		})
	case msgtype.Image:
		c := new(wire.ImageContent)
		return checkContent(content, c, func() *wire.Error { return l.checkFile(typ, c.File, 0, c.LargeUrl, c.ThumbnailUrl) })
	case msgtype.File:
		c := new(wire.FileContent)
		return checkContent(content, c, func() *wire.Error { return l.checkFile(typ, c.File, 0) })
	case msgtype.Audio:
		c := new(wire.AudioContent)
		return checkContent(content, c, func() *wire.Error { return l.checkFile(typ, c.File, c.Duration) })
	case msgtype.Video:
		c := new(wire.VideoContent)
		return checkContent(content, c, func() *wire.Error { return l.checkFile(typ, c.File, c.Duration, c.FirstFrameUrl) })
	}
	if item {
		return nil, refuse(codeParamsInvalid, "a message of this type can't be an item of a multiple message")
	}
	switch typ {
	case msgtype.Command:
		return checkSingle(content, func(v []byte) *wire.Error { return checkCommand(v, l.CommandSize) })
	case msgtype.Barrage:
		return checkSingle(content, func(v []byte) *wire.Error { return checkText("barrage", v, l.BarrageSize) })
	case msgtype.Multiple:
		c := new(wire.MultipleContent)
		return checkContent(content, c, func() *wire.Error { return l.checkMultiple(c) })
	case msgtype.Combine:
		c := new(wire.CombineContent)
		return checkContent(content, c, func() *wire.Error { return checkCombine(c) })
	case msgtype.Revoke, msgtype.Tips:
		return nil, refuse(codeParamsInvalid, "only the server makes messages of this type")
	}
	return nil, refuse(codeUnsupported, "the server does not know messages of this type")
}

// checkSingle checks content whose only field is text or bytes.
func checkSingle(content []byte, check func(v []byte) *wire.Error) ([]byte, *wire.Error) {
	if v, ok := payload.Split(content); ok {
		return content, check(v)
	}
	c := new(wire.CommandContent)
	return checkContent(content, c, func() *wire.Error { return check(c.Message) })
}

// checkContent decodes content into c and calls check. Fields that the server does not know are dropped: they would be a
// way around the limits.
func checkContent(content []byte, c proto.Message, check func() *wire.Error) ([]byte, *wire.Error) {
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(content, c); err != nil {
		return nil, refuse(codeParamsInvalid, "the content is malformed")
	}
	if refused := check(); refused != nil {
		return nil, refused
	}
	content, _ = proto.Marshal(c)
	return content, nil
}

const (
	maxItems      = 20
	maxMediaItems = 10
	maxCombined   = 300
	// Three hundred messages as large as they may be by default fit.
	maxCombinedBytes = 2 << 20

	maxTitle    = 20
	maxSummary  = 100
	maxURL      = 500
	maxFileName = 150
)

func (l *Limits) checkMultiple(c *wire.MultipleContent) *wire.Error {
	if n := len(c.Items); n == 0 || n > maxItems {
		return refuse(codeParamsInvalid, fmt.Sprintf("a multiple message has 1 to %d items, not %d", maxItems, n))
	}
	files, customs := 0, 0
	for _, item := range c.Items {
		content, refused := l.check(item.Type, item.Content, true)
		if refused != nil {
			return refused
		}
		item.Content = content
		if isMedia(item.Type) {
			files++
		} else if item.Type == msgtype.Custom {
			customs++
		}
	}
	if files > maxMediaItems || customs > 1 {
		return refuse(codeParamsInvalid, fmt.Sprintf("a multiple message has at most %d files and one custom item", maxMediaItems))
	}
	return nil
}

func checkCombine(c *wire.CombineContent) *wire.Error {
	for _, t := range []struct {
		what, text string
		limit      int
	}{{"title", c.Title, maxTitle}, {"summary", c.Summary, maxSummary}} {
		if refused := checkText(t.what, []byte(t.text), t.limit); refused != nil {
			return refused
		}
	}
	if n := len(c.Messages); n > maxCombined || (n == 0) == (c.CombineId == "") {
		return refuse(codeParamsInvalid, fmt.Sprintf("a combine message has 1 to %d messages, or the ID of one that has", maxCombined))
	}
	return nil
}

// The documented formats, by the extension of the file's name. Files may have any.
var formats = map[int32][]string{
	msgtype.Image: {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tiff", ".webp", ".heic", ".heif"},
	msgtype.Audio: {".mp3", ".m4a"},
	msgtype.Video: {".mp4", ".mov"},
}

// checkFormat checks the name of a file.
func checkFormat(typ int32, name string) *wire.Error {
	switch {
	case name == "" || len(name) > maxFileName || !utf8.ValidString(name):
		return refuse(codeParamsInvalid, fmt.Sprintf("a file has a name of up to %d bytes", maxFileName))
	case formats[typ] != nil && !slices.Contains(formats[typ], strings.ToLower(path.Ext(name))):
		return refuse(codeFileType, fmt.Sprintf("files of this type are %s", strings.Join(formats[typ], " ")))
	}
	return nil
}

// checkFile checks what a media message is about, as far as it can be seen without the file.
func (l *Limits) checkFile(typ int32, f *wire.File, duration int64, more ...string) *wire.Error {
	if (f.GetObject() == "") == (f.GetUrl() == "") {
		return refuse(codeParamsInvalid, "a media message has either an uploaded file or a URL")
	}
	for _, u := range append(more, f.Url) {
		if len(u) > maxURL || !utf8.ValidString(u) {
			return refuse(codeURL, fmt.Sprintf("a URL has up to %d bytes", maxURL))
		}
	}
	if duration < 0 || typ == msgtype.Audio && duration > l.AudioDuration {
		return refuse(codeFileDuration, fmt.Sprintf("the duration is %d seconds, the limit is %d", duration, l.AudioDuration))
	}
	if duration == 0 && f.Object != "" && (typ == msgtype.Audio || typ == msgtype.Video) {
		return refuse(codeParamsInvalid, "an audio or video file needs its duration")
	}
	if f.Size < 0 {
		return refuse(codeFileSize, "the size of the file is negative")
	}
	if f.Url != "" {
		return checkFormat(typ, f.Name)
	}
	return nil
}

func checkText(what string, s []byte, limit int) *wire.Error {
	switch {
	case len(s) > limit:
		return tooLarge(what, len(s), limit)
	case !utf8.Valid(s):
		return refuse(codeParamsInvalid, "the "+what+" is not valid UTF-8")
	case len(bytes.TrimSpace(s)) == 0:
		return refuse(codeParamsInvalid, "the "+what+" is blank")
	}
	return nil
}

func checkCommand(b []byte, limit int) *wire.Error {
	if len(b) == 0 {
		return refuse(codeParamsInvalid, "the command is empty")
	}
	if len(b) > limit {
		return tooLarge("command", len(b), limit)
	}
	return nil
}

func tooLarge(what string, size, limit int) *wire.Error {
	return refuse(codeParamsInvalid, fmt.Sprintf("the %s has %d bytes, the limit is %d", what, size, limit))
}

package restapi

import (
	"encoding/base64"
	"reflect"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/internal/apicode"
	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/internal/payload"
	"github.com/zim-go/zim/wire"
)

const (
	maxMultiple = 5 << 10 // bytes of a message with several items, unless texts may have more
	maxItems    = 20
)

// The shapes of media in what is sent, where they are JSON in a string.

type imageIn struct {
	Uid                           string
	Origin, LargeImage, Thumbnail pictureIn
	FileName                      string
	Size                          int64
}

type pictureIn struct {
	Url           string
	Width, Height int64
}

type fileIn struct {
	Uid, Url, FileName  string
	Size, MediaDuration int64
	Thumbnail           pictureIn
}

type multipleIn struct {
	MultiMsg []struct {
		MsgType, SubMsgType  int64
		Msg, SearchedContent string
	} `zim:"needed"`
}

// bindText is bind for JSON in a string.
func bindText(in any, text string) *failure {
	t, err := parseJSON([]byte(text))
	if err != nil {
		return badInput("the Message of this type is an object of JSON, in a string")
	}
	return bind(reflect.ValueOf(in).Elem(), t)
}

// encode makes what a message of a type says of what the request says. The backend holds it against its limits.
func encode(typ, subType int64, message, searched string) ([]byte, *failure) {
	switch typ {
	case msgtype.Text, msgtype.Barrage, msgtype.Command:
		return payload.Append(nil, message), nil
	case msgtype.Custom:
		if subType < 0 || subType > 200 {
			return nil, badInput("SubMsgType is 0 to 200")
		}
		return marshal(&wire.CustomContent{Message: message, SubType: int32(subType), SearchedContent: searched})
	case msgtype.Image:
		in := new(imageIn)
		if f := bindText(in, message); f != nil {
			return nil, f
		}
		return marshal(&wire.ImageContent{
			File: &wire.File{Url: in.Origin.Url, Name: in.FileName, Size: in.Size}, Size: in.Origin.size(),
			LargeUrl: in.LargeImage.Url, LargeSize: in.LargeImage.size(), ThumbnailUrl: in.Thumbnail.Url, ThumbnailSize: in.Thumbnail.size(),
		})
	case msgtype.File, msgtype.Audio, msgtype.Video:
		in := new(fileIn)
		if f := bindText(in, message); f != nil {
			return nil, f
		}
		file := &wire.File{Url: in.Url, Name: in.FileName, Size: in.Size}
		switch typ {
		case msgtype.File:
			return marshal(&wire.FileContent{File: file})
		case msgtype.Audio:
			return marshal(&wire.AudioContent{File: file, Duration: in.MediaDuration})
		}
		return marshal(&wire.VideoContent{
			File: file, Duration: in.MediaDuration, FirstFrameUrl: in.Thumbnail.Url, FirstFrameSize: in.Thumbnail.size(),
		})
	case msgtype.Multiple:
		in := new(multipleIn)
		if f := bindText(in, message); f != nil {
			return nil, f
		}
		if len(in.MultiMsg) > maxItems {
			return nil, badInput("a message has up to 20 items")
		}
		c := new(wire.MultipleContent)
		for _, item := range in.MultiMsg {
			switch item.MsgType {
			case msgtype.Text, msgtype.Image, msgtype.File, msgtype.Audio, msgtype.Video, msgtype.Custom:
			default:
				return nil, badInput("an item is of a type that can't be one")
			}
			content, f := encode(item.MsgType, item.SubMsgType, item.Msg, item.SearchedContent)
			if f != nil {
				return nil, f
			}
			c.Items = append(c.Items, &wire.MultipleItem{Type: int32(item.MsgType), Content: content})
		}
		return marshal(c)
	}
	return nil, badInput("a message of this type can't be sent")
}

func marshal(m proto.Message) ([]byte, *failure) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, badInput("the message is not UTF-8")
	}
	return b, nil
}

// size returns nil for a picture whose size is not known.
func (p *pictureIn) size() *wire.Size {
	const most = 1 << 20 // pixels
	if p.Width <= 0 || p.Height <= 0 || p.Width > most || p.Height > most {
		return nil
	}
	return &wire.Size{Width: int32(p.Width), Height: int32(p.Height)}
}

// plain returns what a command says.
func plain(message string, inBase64 bool) (string, *failure) {
	if !inBase64 {
		return message, nil
	}
	b, err := base64.StdEncoding.DecodeString(message)
	if err != nil {
		return "", fail(apicode.NotBase64, "the Message is not base64")
	}
	return string(b), nil
}

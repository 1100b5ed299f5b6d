package restapi

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/payload"
	"github.com/zim-go/zim/wire"
)

// Documented message types.
const (
	typeText     = 1
	typeCommand  = 2
	typeMultiple = 10
	typeImage    = 11
	typeFile     = 12
	typeAudio    = 13
	typeVideo    = 14
	typeBarrage  = 20
	typeRevoke   = 31
	typeTips     = 32
	typeCombine  = 100
	typeCustom   = 200
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
	case typeText, typeBarrage, typeCommand:
		return payload.Append(nil, message), nil
	case typeCustom:
		if subType < 0 || subType > 200 {
			return nil, badInput("SubMsgType is 0 to 200")
		}
		return marshal(&wire.CustomContent{Message: message, SubType: int32(subType), SearchedContent: searched})
	case typeImage:
		in := new(imageIn)
		if f := bindText(in, message); f != nil {
			return nil, f
		}
		return marshal(&wire.ImageContent{
			File: &wire.File{Url: in.Origin.Url, Name: in.FileName, Size: in.Size}, Size: in.Origin.size(),
			LargeUrl: in.LargeImage.Url, LargeSize: in.LargeImage.size(), ThumbnailUrl: in.Thumbnail.Url, ThumbnailSize: in.Thumbnail.size(),
		})
	case typeFile, typeAudio, typeVideo:
		in := new(fileIn)
		if f := bindText(in, message); f != nil {
			return nil, f
		}
		file := &wire.File{Url: in.Url, Name: in.FileName, Size: in.Size}
		switch typ {
		case typeFile:
			return marshal(&wire.FileContent{File: file})
		case typeAudio:
			return marshal(&wire.AudioContent{File: file, Duration: in.MediaDuration})
		}
		return marshal(&wire.VideoContent{
			File: file, Duration: in.MediaDuration, FirstFrameUrl: in.Thumbnail.Url, FirstFrameSize: in.Thumbnail.size(),
		})
	case typeMultiple:
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
			case typeText, typeImage, typeFile, typeAudio, typeVideo, typeCustom:
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
		return "", fail(codeNotBase64, "the Message is not base64")
	}
	return string(b), nil
}

// object is JSON that becomes a string in an answer.
type object = map[string]any

func (o *bodyMaker) text(v object) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, numbers, and lists and objects of those
	}
	return string(b)
}

// A bodyMaker makes the MsgBody of messages in the history.
type bodyMaker struct {
	fileURL string
}

// body returns what a message says: text as it is, and everything else as JSON.
func (o *bodyMaker) body(typ int32, content []byte) string {
	switch typ {
	case typeText, typeCustom:
		c := new(wire.CustomContent)
		if typ == typeText {
			text := new(wire.TextContent)
			proto.Unmarshal(content, text) // the backend has checked it
			return text.Message
		}
		proto.Unmarshal(content, c)
		return c.Message
	case typeMultiple:
		c := new(wire.MultipleContent)
		proto.Unmarshal(content, c)
		items := []object{}
		for _, item := range c.Items {
			entry := object{"msg_type": item.Type}
			if media := o.media(item.Type, item.Content); media != nil {
				entry["callback_content"] = media
			} else {
				entry["callback_content"] = o.body(item.Type, item.Content)
			}
			if item.Type == typeCustom {
				entry["sub_msg_type"] = subType(item.Type, item.Content)
			}
			items = append(items, entry)
		}
		return o.text(object{"multi_msg": items})
	case typeCombine:
		c := new(wire.CombineContent)
		proto.Unmarshal(content, c)
		return o.text(object{"Title": c.Title, "Summary": c.Summary})
	case typeRevoke:
		c := new(wire.RevokeContent)
		proto.Unmarshal(content, c)
		return o.text(object{
			"msg_status": (c.Status + 1) * 4, "msg_type": c.OriginalType, "payload": c.ExtendedData, "revoke_time": c.RevokeTimeMs, "user_id": c.OperatorUserId,
		})
	case typeTips:
		c := new(wire.TipsContent)
		proto.Unmarshal(content, c)
		targets := []object{}
		for _, u := range c.Targets {
			targets = append(targets, tipsUser(u))
		}
		return o.text(object{"type": c.Event, "op_user_info": tipsUser(c.Operator), "target_users": targets})
	}
	if media := o.media(typ, content); media != nil {
		return o.text(media)
	}
	return ""
}

func tipsUser(u *wire.TipsUser) object {
	return object{"user_id": u.GetUserId(), "group_member_name": u.GetUserName(), "group_member_nickname": u.GetMemberNickname(), "role": u.GetMemberRole()}
}

// subType returns the sub-type of a custom message.
func subType(typ int32, content []byte) int32 {
	c := new(wire.CustomContent)
	if typ == typeCustom {
		proto.Unmarshal(content, c)
	}
	return c.SubType
}

// searched returns the searched content of a custom message.
func searched(typ int32, content []byte) string {
	c := new(wire.CustomContent)
	if typ == typeCustom {
		proto.Unmarshal(content, c)
	}
	return c.SearchedContent
}

// media returns what a media message says, or nil if it is none.
func (o *bodyMaker) media(typ int32, content []byte) object {
	v := object{}
	switch typ {
	case typeImage:
		c := new(wire.ImageContent)
		proto.Unmarshal(content, c)
		o.file(v, c.File)
		picture(v, "origin_image", c.Size)
		v["large_image_download_url"] = o.url(c.LargeUrl)
		picture(v, "large_image", c.LargeSize)
		v["thumbnail_download_url"] = o.url(c.ThumbnailUrl)
		picture(v, "thumbnail", c.ThumbnailSize)
	case typeFile:
		c := new(wire.FileContent)
		proto.Unmarshal(content, c)
		o.file(v, c.File)
	case typeAudio:
		c := new(wire.AudioContent)
		proto.Unmarshal(content, c)
		o.file(v, c.File)
		v["media_duration"] = strconv.FormatInt(c.Duration, 10)
	case typeVideo:
		c := new(wire.VideoContent)
		proto.Unmarshal(content, c)
		o.file(v, c.File)
		v["media_duration"] = strconv.FormatInt(c.Duration, 10)
		v["video_first_frame_download_url"] = o.url(c.FirstFrameUrl)
		picture(v, "video_first_frame", c.FirstFrameSize)
	default:
		return nil
	}
	return v
}

func (o *bodyMaker) file(v object, f *wire.File) {
	v["md5"] = "" // the backend knows none
	v["file_name"], v["file_size"], v["download_url"] = f.GetName(), strconv.FormatInt(f.GetSize(), 10), o.url(f.GetUrl())
}

func picture(v object, name string, s *wire.Size) {
	v[name+"_width"], v[name+"_height"] = s.GetWidth(), s.GetHeight()
}

// url makes the URL of one of the backend's own files absolute.
func (o *bodyMaker) url(u string) string {
	if u == "" || strings.Contains(u, "://") {
		return u
	}
	return o.fileURL + u
}

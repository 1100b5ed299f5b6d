package cloud

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/wire"
)

// A body is what a message says, as the service has it.
type body struct {
	text     string
	base64   bool // text is, of a command
	subType  int32
	searched string
}

var errNoURL = errors.New("cloud: a file must be given by a URL of up to 500 bytes: the service takes no uploads")

// encode writes the content of a message for the service. uid names the files in it.
func encode(typ int32, content []byte, uid string) (b body, err error) {
	switch typ {
	case msgtype.Text, msgtype.Barrage:
		var c wire.TextContent
		err = proto.Unmarshal(content, &c)
		b.text = c.Message
	case msgtype.Command:
		var c wire.CommandContent
		err = proto.Unmarshal(content, &c)
		if b.text = string(c.Message); !utf8.Valid(c.Message) {
			b.text, b.base64 = base64.StdEncoding.EncodeToString(c.Message), true
		}
	case msgtype.Custom:
		var c wire.CustomContent
		err = proto.Unmarshal(content, &c)
		b = body{text: c.Message, subType: c.SubType, searched: c.SearchedContent}
	case msgtype.Image, msgtype.File, msgtype.Audio, msgtype.Video:
		b.text, err = encodeFile(typ, content, uid)
	case msgtype.Multiple:
		b.text, err = encodeItems(content, uid)
	default:
		err = fmt.Errorf("cloud: the service has no way to send messages of type %d: %w", typ, errors.ErrUnsupported)
	}
	return b, err
}

func encodeItems(content []byte, uid string) (string, error) {
	var c wire.MultipleContent
	if err := proto.Unmarshal(content, &c); err != nil {
		return "", err
	}
	items := []any{}
	for i, item := range c.Items {
		if item.Type == msgtype.Multiple {
			return "", fmt.Errorf("cloud: item %d of a message has items itself: %w", i, errors.ErrUnsupported)
		}
		b, err := encode(item.Type, item.Content, uid+"-"+strconv.Itoa(i))
		if err != nil {
			return "", err
		}
		o := object{"MsgType": item.Type, "Msg": b.text}
		if item.Type == msgtype.Custom {
			o["SubMsgType"], o["SearchedContent"] = b.subType, b.searched
		}
		items = append(items, o)
	}
	return marshal(object{"MultiMsg": items})
}

func encodeFile(typ int32, content []byte, uid string) (string, error) {
	o, f := object{"Uid": uid}, (*wire.File)(nil)
	var err error
	switch typ {
	case msgtype.Image:
		var c wire.ImageContent
		err, f = proto.Unmarshal(content, &c), c.File
		o["Origin"] = encodePicture(f.GetUrl(), c.Size)
		if c.LargeUrl != "" {
			o["LargeImage"] = encodePicture(c.LargeUrl, c.LargeSize)
		}
		if c.ThumbnailUrl != "" {
			o["Thumbnail"] = encodePicture(c.ThumbnailUrl, c.ThumbnailSize)
		}
	case msgtype.File:
		var c wire.FileContent
		err, f = proto.Unmarshal(content, &c), c.File
	case msgtype.Audio:
		var c wire.AudioContent
		err, f = proto.Unmarshal(content, &c), c.File
		o["MediaDuration"] = c.Duration
	case msgtype.Video:
		var c wire.VideoContent
		err, f = proto.Unmarshal(content, &c), c.File
		o["MediaDuration"] = c.Duration
		if c.FirstFrameUrl != "" {
			o["Thumbnail"] = encodePicture(c.FirstFrameUrl, c.FirstFrameSize)
		}
	}
	if err != nil {
		return "", err
	}
	u, err := url.Parse(f.GetUrl())
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(f.Url) > 500 {
		return "", errNoURL
	}
	if typ != msgtype.Image {
		o["Url"] = f.Url
	}
	o["FileName"] = f.Name
	if f.Size > 0 {
		o["Size"] = f.Size
	}
	return marshal(o)
}

func encodePicture(url string, size *wire.Size) object {
	return object{"Url": url, "Width": size.GetWidth(), "Height": size.GetHeight()}
}

func marshal(o object) (string, error) {
	b, err := json.Marshal(o)
	return string(b), err
}

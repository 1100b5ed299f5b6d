package cloud

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/wire"
)

// The documented message types that differ in how the service writes them.
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
	case typeText, typeBarrage:
		var c wire.TextContent
		err = proto.Unmarshal(content, &c)
		b.text = c.Message
	case typeCommand:
		var c wire.CommandContent
		err = proto.Unmarshal(content, &c)
		if b.text = string(c.Message); !utf8.Valid(c.Message) {
			b.text, b.base64 = base64.StdEncoding.EncodeToString(c.Message), true
		}
	case typeCustom:
		var c wire.CustomContent
		err = proto.Unmarshal(content, &c)
		b = body{text: c.Message, subType: c.SubType, searched: c.SearchedContent}
	case typeImage, typeFile, typeAudio, typeVideo:
		b.text, err = encodeFile(typ, content, uid)
	case typeMultiple:
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
		if item.Type == typeMultiple {
			return "", fmt.Errorf("cloud: item %d of a message has items itself: %w", i, errors.ErrUnsupported)
		}
		b, err := encode(item.Type, item.Content, uid+"-"+strconv.Itoa(i))
		if err != nil {
			return "", err
		}
		o := object{"MsgType": item.Type, "Msg": b.text}
		if item.Type == typeCustom {
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
	case typeImage:
		var c wire.ImageContent
		err, f = proto.Unmarshal(content, &c), c.File
		o["Origin"] = encodePicture(f.GetUrl(), c.Size)
		if c.LargeUrl != "" {
			o["LargeImage"] = encodePicture(c.LargeUrl, c.LargeSize)
		}
		if c.ThumbnailUrl != "" {
			o["Thumbnail"] = encodePicture(c.ThumbnailUrl, c.ThumbnailSize)
		}
	case typeFile:
		var c wire.FileContent
		err, f = proto.Unmarshal(content, &c), c.File
	case typeAudio:
		var c wire.AudioContent
		err, f = proto.Unmarshal(content, &c), c.File
		o["MediaDuration"] = c.Duration
	case typeVideo:
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
	if typ != typeImage {
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

// decode reads what a message says, as the service writes it: clients' messages in small letters, those of the API as they were sent. What can't
// be read is passed on as it is.
func decode(typ int32, b body) []byte {
	var m proto.Message
	switch typ {
	case typeText, typeBarrage:
		m = &wire.TextContent{Message: b.text}
	case typeCustom:
		m = &wire.CustomContent{Message: b.text, SubType: b.subType, SearchedContent: b.searched}
	case typeImage, typeFile, typeAudio, typeVideo, typeMultiple, typeRevoke, typeTips, typeCombine:
		if o, err := parse([]byte(unescape(b.text))); err == nil {
			m = decodeObject(typ, o)
		}
	}
	if m == nil {
		return []byte(b.text)
	}
	content, err := proto.Marshal(m)
	if err != nil {
		return nil // text that is no UTF-8
	}
	return content
}

// unescape takes off the percent-encoding that JSON sometimes comes in.
func unescape(s string) string {
	if !strings.HasPrefix(s, "%") {
		return s
	}
	if t, err := url.QueryUnescape(s); err == nil {
		return t
	}
	return s
}

func decodeObject(typ int32, o object) proto.Message {
	file := &wire.File{Url: either(o, "download_url", "Url"), Name: either(o, "file_name", "FileName"), Size: max(o.num("file_size"), o.num("Size"))}
	duration := max(o.num("media_duration"), o.num("MediaDuration"))
	switch typ {
	case typeImage:
		c := &wire.ImageContent{
			File:     file,
			Size:     size(o, "origin_image_width", "origin_image_height"),
			LargeUrl: o.text("large_image_download_url"), LargeSize: size(o, "large_image_width", "large_image_height"),
			ThumbnailUrl: o.text("thumbnail_download_url"), ThumbnailSize: size(o, "thumbnail_width", "thumbnail_height"),
		}
		if origin := o.object("Origin"); origin != nil {
			file.Url, c.Size = origin.text("Url"), size(origin, "Width", "Height")
			large, thumbnail := o.object("LargeImage"), o.object("Thumbnail")
			c.LargeUrl, c.LargeSize = large.text("Url"), size(large, "Width", "Height")
			c.ThumbnailUrl, c.ThumbnailSize = thumbnail.text("Url"), size(thumbnail, "Width", "Height")
		}
		return c
	case typeFile:
		return &wire.FileContent{File: file}
	case typeAudio:
		return &wire.AudioContent{File: file, Duration: duration}
	case typeVideo:
		c := &wire.VideoContent{
			File: file, Duration: duration,
			FirstFrameUrl: o.text("video_first_frame_download_url"), FirstFrameSize: size(o, "video_first_frame_width", "video_first_frame_height"),
		}
		if thumbnail := o.object("Thumbnail"); thumbnail != nil {
			c.FirstFrameUrl, c.FirstFrameSize = thumbnail.text("Url"), size(thumbnail, "Width", "Height")
		}
		return c
	case typeMultiple:
		return decodeItems(o)
	case typeCombine:
		return &wire.CombineContent{Title: o.text("Title"), Summary: o.text("Summary")}
	case typeRevoke:
		return &wire.RevokeContent{
			Status: revokeStatus(o.num("msg_status")), OriginalType: o.small("msg_type"), RevokeTimeMs: o.millis("revoke_time"),
			OperatorUserId: o.text("user_id"), ExtendedData: o.text("payload"),
		}
	case typeTips:
		return decodeTips(o)
	}
	return nil
}

// maxItems is how many items of a message are read.
const maxItems = 20

func decodeItems(o object) proto.Message {
	c := new(wire.MultipleContent)
	for _, item := range append(o.objects("multi_msg"), o.objects("MultiMsg")...) {
		if len(c.Items) == maxItems {
			break
		}
		typ, b := item.small("msg_type"), body{text: item.text("callback_content"), subType: item.small("sub_msg_type")}
		if inner := item.object("callback_content"); inner != nil {
			b.text, _ = marshal(inner)
		}
		if item["MsgType"] != nil {
			typ, b = item.small("MsgType"), body{text: item.text("Msg"), subType: item.small("SubMsgType"), searched: item.text("SearchedContent")}
		}
		if typ == typeMultiple {
			continue // there is none, and it would have no end
		}
		c.Items = append(c.Items, &wire.MultipleItem{Type: typ, Content: decode(typ, b)})
	}
	return c
}

// revokeStatus returns the documented ZIM status for who revoked a message, or -1.
func revokeStatus(n int64) int32 {
	if n >= 4 && n <= 24 && n%4 == 0 {
		return int32(n/4 - 1)
	}
	return -1
}

func either(o object, a, b string) string {
	if s := o.text(a); s != "" {
		return s
	}
	return o.text(b)
}

func size(o object, width, height string) *wire.Size {
	if o.num(width) == 0 && o.num(height) == 0 {
		return nil
	}
	return &wire.Size{Width: o.small(width), Height: o.small(height)}
}

// tips has what the service calls its tips, and the documented ZIM event and type of change.
var tips = map[int64]struct{ event, change int32 }{
	1: {1, 0}, 2: {2, 0}, 3: {3, 0}, 4: {4, 0}, 5: {5, 0}, 6: {6, 0},
	11: {8, 10}, 12: {8, 11}, 13: {8, 12}, 30: {7, 1}, 34: {7, 5},
}

func decodeTips(o object) proto.Message {
	user := func(u object) *wire.TipsUser {
		return &wire.TipsUser{
			UserId: u.text("user_id"), UserName: u.text("group_member_name"), MemberNickname: u.text("group_member_nickname"), MemberRole: u.small("role"),
		}
	}
	t := tips[o.num("type")]
	c := &wire.TipsContent{Event: t.event, Operator: user(o.object("op_user_info"))}
	for _, target := range o.objects("target_users") {
		c.Targets = append(c.Targets, user(target))
	}
	if t.change != 0 {
		c.Change = &wire.TipsChange{
			Type: t.change, GroupDataFlag: o.small("group_data_flag"), GroupName: o.text("group_name"), GroupNotice: o.text("group_notice"),
			GroupAvatarUrl: o.text("group_avatar"), MemberRole: o.small("role"), MuteExpiredTime: o.num("forbid_expire_time"),
		}
	}
	return c
}

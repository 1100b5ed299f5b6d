package cloud

import (
	"errors"
	"net/url"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/internal/payload"
	"github.com/zim-go/zim/wire"
)

// maxBodyItems is how many items a message may have. The documented limit is 20.
const maxBodyItems = 64

// errNoCounterpart is for what callbacks tell, and the SDK has nothing for.
var errNoCounterpart = errors.New("cloud: no counterpart")

// decodeBody makes content of what a message of that type says in a callback. Media are in one shape if a client has sent them, and in another
// if they came over the Server API.
func decodeBody(typ, subType int32, body string) ([]byte, error) {
	switch {
	case typ < msgtype.Custom && typ != msgtype.Text && typ != msgtype.Combine && (typ < msgtype.Multiple || typ > msgtype.Video):
		return nil, errNoCounterpart // commands and barrages bring no callback, and of others nothing is known
	case typ > msgtype.Custom:
		return []byte(body), nil // whoever knows the type may read it
	}
	content, err := contentOf(typ, subType, body)
	if err != nil {
		return []byte(body), nil // the message counts, and whoever can may read it
	}
	return content, nil
}

// decodeHistoric makes content of what a message of that type says in the history, which is written in the same ways. What can't be read of it is
// left out: nobody would be helped by an error about the whole page.
func decodeHistoric(typ, subType int32, body string) []byte {
	content, err := contentOf(typ, subType, body)
	switch {
	case errors.Is(err, errNoCounterpart):
		return []byte(body)
	case err != nil:
		return nil
	}
	return content
}

// contentOf makes content of a body, without the fields that are malformed.
func contentOf(typ, subType int32, body string) ([]byte, error) {
	switch typ {
	case msgtype.Text, msgtype.Command, msgtype.Barrage:
		return payload.Append(nil, body), nil
	case msgtype.Custom:
		return encoded(&wire.CustomContent{Message: body, SubType: subType})
	}
	if !inObject(typ) {
		return nil, errNoCounterpart
	}
	f, err := parseBody(body)
	if err != nil {
		return nil, err
	}
	f.lenient = true
	return objectOf(typ, f)
}

// inObject reports whether the body of a message of that type is an object.
func inObject(typ int32) bool {
	return typ >= msgtype.Multiple && typ <= msgtype.Video || typ == msgtype.Combine || typ == msgtype.Revoke || typ == msgtype.Tips
}

// parseBody reads an object that travels as text. It may be percent-encoded.
func parseBody(body string) (*fields, error) {
	values, err := parseObject(body)
	if err != nil {
		if body, err = url.QueryUnescape(body); err != nil {
			return nil, errSyntax
		}
		values, err = parseObject(body)
	}
	return &fields{values: values}, err
}

func objectOf(typ int32, f *fields) ([]byte, error) {
	var content proto.Message
	switch typ {
	case msgtype.Multiple:
		w, err := itemsOf(f)
		if err != nil {
			return nil, err
		}
		content = w
	case msgtype.Image:
		content = decodeImage(f)
	case msgtype.File:
		content = &wire.FileContent{File: decodeFile(f)}
	case msgtype.Audio:
		content = &wire.AudioContent{File: decodeFile(f), Duration: f.either("media_duration", "MediaDuration").number()}
	case msgtype.Video:
		w := &wire.VideoContent{File: decodeFile(f), Duration: f.either("media_duration", "MediaDuration").number()}
		w.FirstFrameUrl, w.FirstFrameSize = decodePicture(f, "video_first_frame_download_url", "video_first_frame", "Thumbnail")
		content = w
	case msgtype.Combine:
		content = &wire.CombineContent{Title: f.text("Title"), Summary: f.text("Summary")}
	case msgtype.Revoke:
		content = &wire.RevokeContent{
			Status: revokeStatus(f.number("msg_status")), OriginalType: f.small("msg_type"), RevokeTimeMs: millis(f.number("revoke_time")),
			OperatorUserId: f.text("user_id"), ExtendedData: f.text("payload"),
		}
	case msgtype.Tips:
		content = decodeTips(f)
	default:
		return nil, errNoCounterpart
	}
	if f.err != nil {
		return nil, f.err
	}
	return encoded(content)
}

func decodeFile(f *fields) *wire.File {
	return &wire.File{
		Url: f.either("download_url", "Url").text(), Name: f.either("file_name", "FileName").text(), Size: f.either("file_size", "Size").number(),
	}
}

func decodeImage(f *fields) *wire.ImageContent {
	w := &wire.ImageContent{File: decodeFile(f)}
	w.LargeUrl, w.LargeSize = decodePicture(f, "large_image_download_url", "large_image", "LargeImage")
	w.ThumbnailUrl, w.ThumbnailSize = decodePicture(f, "thumbnail_download_url", "thumbnail", "Thumbnail")
	original, size := decodePicture(f, "", "origin_image", "Origin")
	if w.Size = size; w.File.Url == "" {
		w.File.Url = original
	}
	return w
}

// decodePicture reads a URL and a size, which are in an object of the one shape, and have a common prefix in the other.
func decodePicture(f *fields, urlKey, prefix, object string) (string, *wire.Size) {
	link, width, height := f.text(urlKey), f.small(prefix+"_width"), f.small(prefix+"_height")
	if p := f.object(object); p.values != nil {
		link, width, height = p.text("Url"), p.small("Width"), p.small("Height")
		if p.err != nil {
			f.fail(object)
		}
	}
	if width == 0 && height == 0 {
		return link, nil
	}
	return link, &wire.Size{Width: width, Height: height}
}

func itemsOf(f *fields) (*wire.MultipleContent, error) {
	list := append(f.objects("multi_msg"), f.objects("MultiMsg")...)
	if f.err != nil || len(list) > maxBodyItems {
		return nil, errSyntax
	}
	w := new(wire.MultipleContent)
	for _, item := range list {
		typ, subType := int32(item.either("msg_type", "MsgType").number()), int32(item.either("sub_msg_type", "SubMsgType").number())
		content, err := decodeItem(typ, subType, item)
		if err != nil && f.lenient {
			continue
		}
		if err != nil {
			return nil, err
		}
		w.Items = append(w.Items, &wire.MultipleItem{Type: typ, Content: content})
	}
	return w, nil
}

func decodeItem(typ, subType int32, item *fields) ([]byte, error) {
	if typ == msgtype.Multiple {
		return nil, errSyntax // there is no such item, and no depth of them
	}
	v := item.either("callback_content", "Msg")
	if object, ok := item.values[v.key].(map[string]any); ok {
		return objectOf(typ, &fields{values: object, lenient: item.lenient})
	}
	body := v.text()
	if item.err != nil {
		return nil, item.err
	}
	if typ == msgtype.Custom {
		return encoded(&wire.CustomContent{Message: body, SubType: subType, SearchedContent: item.text("SearchedContent")})
	}
	if item.lenient {
		return decodeHistoric(typ, subType, body), nil
	}
	return decodeBody(typ, subType, body)
}

// revokeStatus returns the documented ZIM status for who revoked a message, or -1.
func revokeStatus(n int64) int32 {
	if n >= 4 && n <= 24 && n%4 == 0 {
		return int32(n/4 - 1)
	}
	return -1
}

// tips has what the service calls its tips, and the documented ZIM event and type of change.
var tips = map[int64]struct{ event, change int32 }{
	1: {1, 0}, 2: {2, 0}, 3: {3, 0}, 4: {4, 0}, 5: {5, 0}, 6: {6, 0},
	11: {8, 10}, 12: {8, 11}, 13: {8, 12}, 30: {7, 1}, 34: {7, 5},
}

func decodeTips(f *fields) proto.Message {
	user := func(u *fields) *wire.TipsUser {
		return &wire.TipsUser{
			UserId: u.text("user_id"), UserName: u.text("group_member_name"), MemberNickname: u.text("group_member_nickname"), MemberRole: u.small("role"),
		}
	}
	t := tips[f.number("type")]
	c := &wire.TipsContent{Event: t.event, Operator: user(f.object("op_user_info"))}
	for _, target := range f.objects("target_users") {
		c.Targets = append(c.Targets, user(target))
	}
	if t.change != 0 {
		c.Change = &wire.TipsChange{
			Type: t.change, GroupDataFlag: f.small("group_data_flag"), GroupName: f.text("group_name"), GroupNotice: f.text("group_notice"),
			GroupAvatarUrl: f.text("group_avatar"), MemberRole: f.small("role"), MuteExpiredTime: f.number("forbid_expire_time"),
		}
	}
	return c
}

// A choice is a field that has two names.
type choice struct {
	*fields
	key string
}

func (f *fields) either(one, other string) choice {
	if f.values[one] != nil {
		return choice{f, one}
	}
	return choice{f, other}
}

func (c choice) text() string  { return c.fields.text(c.key) }
func (c choice) number() int64 { return c.fields.number(c.key) }

// encoded always gives the same bytes for the same content, by which repetitions are known.
func encoded(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// Package msgbody has what a message says in the form that apps' servers read: in the history of the Server API, and in callbacks.
package msgbody

import (
	"encoding/json"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/wire"
)

// object is JSON that becomes a string.
type object = map[string]any

func (m Maker) text(v object) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, numbers, and lists and objects of those
	}
	return string(b)
}

// A Maker makes bodies.
type Maker struct {
	// FileURL is what the URLs of the backend's own files begin with, as they are relative.
	FileURL string
}

// Body returns what a message says: text as it is, and everything else as JSON.
func (m Maker) Body(typ int32, content []byte) string {
	switch typ {
	case msgtype.Text, msgtype.Custom:
		c := new(wire.CustomContent)
		if typ == msgtype.Text {
			text := new(wire.TextContent)
			proto.Unmarshal(content, text) // the backend has checked it
			return text.Message
		}
		proto.Unmarshal(content, c)
		return c.Message
	case msgtype.Multiple:
		c := new(wire.MultipleContent)
		proto.Unmarshal(content, c)
		items := []object{}
		for _, item := range c.Items {
			entry := object{"msg_type": item.Type}
			if media := m.media(item.Type, item.Content); media != nil {
				entry["callback_content"] = media
			} else {
				entry["callback_content"] = m.Body(item.Type, item.Content)
			}
			if item.Type == msgtype.Custom {
				entry["sub_msg_type"] = SubType(item.Type, item.Content)
			}
			items = append(items, entry)
		}
		return m.text(object{"multi_msg": items})
	case msgtype.Combine:
		c := new(wire.CombineContent)
		proto.Unmarshal(content, c)
		return m.text(object{"Title": c.Title, "Summary": c.Summary})
	case msgtype.Revoke:
		c := new(wire.RevokeContent)
		proto.Unmarshal(content, c)
		return m.text(object{
			"msg_status": (c.Status + 1) * 4, "msg_type": c.OriginalType, "payload": c.ExtendedData, "revoke_time": c.RevokeTimeMs, "user_id": c.OperatorUserId,
		})
	case msgtype.Tips:
		c := new(wire.TipsContent)
		proto.Unmarshal(content, c)
		targets := []object{}
		for _, u := range c.Targets {
			targets = append(targets, tipsUser(u))
		}
		return m.text(object{"type": c.Event, "op_user_info": tipsUser(c.Operator), "target_users": targets})
	}
	if media := m.media(typ, content); media != nil {
		return m.text(media)
	}
	return ""
}

func tipsUser(u *wire.TipsUser) object {
	return object{"user_id": u.GetUserId(), "group_member_name": u.GetUserName(), "group_member_nickname": u.GetMemberNickname(), "role": u.GetMemberRole()}
}

// SubType returns the sub-type of a custom message, and zero for others.
func SubType(typ int32, content []byte) int32 {
	c := new(wire.CustomContent)
	if typ == msgtype.Custom {
		proto.Unmarshal(content, c)
	}
	return c.SubType
}

// Searched returns the searched content of a custom message, and nothing for others.
func Searched(typ int32, content []byte) string {
	c := new(wire.CustomContent)
	if typ == msgtype.Custom {
		proto.Unmarshal(content, c)
	}
	return c.SearchedContent
}

// media returns what a media message says, or nil if it is none.
func (m Maker) media(typ int32, content []byte) object {
	v := object{}
	switch typ {
	case msgtype.Image:
		c := new(wire.ImageContent)
		proto.Unmarshal(content, c)
		m.file(v, c.File)
		picture(v, "origin_image", c.Size)
		v["large_image_download_url"] = m.url(c.LargeUrl)
		picture(v, "large_image", c.LargeSize)
		v["thumbnail_download_url"] = m.url(c.ThumbnailUrl)
		picture(v, "thumbnail", c.ThumbnailSize)
	case msgtype.File:
		c := new(wire.FileContent)
		proto.Unmarshal(content, c)
		m.file(v, c.File)
	case msgtype.Audio:
		c := new(wire.AudioContent)
		proto.Unmarshal(content, c)
		m.file(v, c.File)
		v["media_duration"] = strconv.FormatInt(c.Duration, 10)
	case msgtype.Video:
		c := new(wire.VideoContent)
		proto.Unmarshal(content, c)
		m.file(v, c.File)
		v["media_duration"] = strconv.FormatInt(c.Duration, 10)
		v["video_first_frame_download_url"] = m.url(c.FirstFrameUrl)
		picture(v, "video_first_frame", c.FirstFrameSize)
	default:
		return nil
	}
	return v
}

func (m Maker) file(v object, f *wire.File) {
	v["md5"] = "" // the backend knows none
	v["file_name"], v["file_size"], v["download_url"] = f.GetName(), strconv.FormatInt(f.GetSize(), 10), m.url(f.GetUrl())
}

func picture(v object, name string, s *wire.Size) {
	v[name+"_width"], v[name+"_height"] = s.GetWidth(), s.GetHeight()
}

// url makes the URL of one of the backend's own files absolute.
func (m Maker) url(u string) string {
	if u == "" || strings.Contains(u, "://") {
		return u
	}
	return m.FileURL + u
}

package backend

import (
	"cmp"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/media"
	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/wire"
)

// hasFiles reports whether messages of a type may be about files.
func hasFiles(typ int32) bool { return isMedia(typ) || typ == msgtype.Multiple }

// upload allows a file to be uploaded.
func (a *attachment) upload(s *session, id uint64, req *wire.UploadRequest) {
	if refused := s.fence(); refused != nil {
		a.refuse(id, refused)
		return
	}
	if !s.changes.Allow() {
		a.refuse(id, tooMany())
		return
	}
	files := a.server.config.Media
	if files == nil {
		a.refuse(id, refuse(codeUnsupported, "the server stores no files"))
		return
	}
	if refused := checkUpload(req, &s.app.Limits); refused != nil {
		a.refuse(id, refused)
		return
	}
	object, ticket, err := files.Ticket(media.Upload{App: s.key.app, User: s.key.id, Kind: media.Kind(req.Type), Name: req.Name, Size: req.Size})
	switch {
	case errors.Is(err, media.ErrQuota):
		a.refuse(id, refuse(codeFileServer, "the user has no room left for files"))
	case err != nil:
		a.server.log.Error("backend: upload", "app", s.key.app, "err", err)
		a.refuse(id, refuse(codeFileServer, "the file can't be taken"))
	default:
		a.link.Reply(id, &wire.Response{Body: &wire.Response_Upload{Upload: &wire.UploadResponse{Object: object, Ticket: ticket, Url: "media/upload"}}})
	}
}

func checkUpload(req *wire.UploadRequest, l *Limits) *wire.Error {
	limit, ok := map[int32]int64{msgtype.Image: l.ImageSize, msgtype.File: l.FileSize, msgtype.Audio: l.AudioSize, msgtype.Video: l.VideoSize}[req.Type]
	if !ok {
		return refuse(codeParamsInvalid, "messages of this type have no file")
	}
	if req.Size <= 0 || req.Size > limit {
		return refuse(codeFileSize, fmt.Sprintf("the file has %d bytes, it may have 1 to %d", req.Size, limit))
	}
	return checkFormat(req.Type, req.Name)
}

// attachFiles replaces what a message says of the files that the server has by what the server knows of them. They must be
// the user's, or have been shown to the user.
func (s *Server) attachFiles(user userKey, typ int32, content []byte) ([]byte, *wire.Error) {
	if typ != msgtype.Multiple {
		return s.attachFile(user, typ, content)
	}
	c := new(wire.MultipleContent)
	if proto.Unmarshal(content, c) != nil {
		return nil, refuse(codeParamsInvalid, "the content is malformed")
	}
	for _, item := range c.Items {
		if !isMedia(item.Type) {
			continue
		}
		var refused *wire.Error
		if item.Content, refused = s.attachFile(user, item.Type, item.Content); refused != nil {
			return nil, refused
		}
	}
	content, _ = proto.Marshal(c)
	return content, nil
}

func (s *Server) attachFile(user userKey, typ int32, content []byte) ([]byte, *wire.Error) {
	c, file := decodeFile(typ, content)
	if file == nil {
		return nil, refuse(codeParamsInvalid, "the content is malformed")
	}
	files := s.config.Media
	if files == nil {
		if file.Object != "" {
			return nil, refuse(codeUnsupported, "the server stores no files")
		}
		return content, nil
	}
	id, shown := file.Object, false
	if id == "" {
		if id, _, shown = files.Resolve(file.Url, user.app, user.id); !shown {
			return content, nil // hosted elsewhere
		}
	}
	o, err := files.Object(id)
	if err != nil || !shown && (o.App != user.app || o.User != user.id) || o.App != user.app {
		return nil, refuse(codeFileError, "there is no such file of the user")
	}
	if o.Kind != media.Kind(typ) {
		return nil, refuse(codeFileType, "the file is of another type")
	}
	*file = wire.File{Object: id, Name: o.Name, Size: o.Size}
	if image, ok := c.(*wire.ImageContent); ok {
		image.LargeUrl, image.ThumbnailUrl = "", ""
		original := media.Image{Width: o.Width, Height: o.Height}
		if original != (media.Image{}) {
			image.Size = wireSize(original)
		}
		// Where there is no smaller version, its URL is good for the original.
		image.LargeSize, image.ThumbnailSize = wireSize(cmp.Or(o.Large, original)), wireSize(cmp.Or(o.Thumbnail, original))
	}
	content, _ = proto.Marshal(c)
	return content, nil
}

func wireSize(i media.Image) *wire.Size {
	if i == (media.Image{}) {
		return nil
	}
	return &wire.Size{Width: int32(i.Width), Height: int32(i.Height)}
}

// decodeFile decodes the content of a media message, and returns what it says of its file.
func decodeFile(typ int32, content []byte) (proto.Message, *wire.File) {
	switch typ {
	case msgtype.Image:
		c := new(wire.ImageContent)
		if proto.Unmarshal(content, c) == nil {
			return c, c.File
		}
	case msgtype.File:
		c := new(wire.FileContent)
		if proto.Unmarshal(content, c) == nil {
			return c, c.File
		}
	case msgtype.Audio:
		c := new(wire.AudioContent)
		if proto.Unmarshal(content, c) == nil {
			return c, c.File
		}
	case msgtype.Video:
		c := new(wire.VideoContent)
		if proto.Unmarshal(content, c) == nil {
			return c, c.File
		}
	}
	return nil, nil
}

func (r *reader) signed(typ int32, content []byte) []byte {
	return r.server.sign(userKey{r.self.AppID, r.self.UserID}, typ, content)
}

// sign gives the files in content URLs that are good for one user, and for some time.
func (s *Server) sign(user userKey, typ int32, content []byte) []byte {
	files := s.config.Media
	if files == nil || !hasFiles(typ) {
		return content
	}
	if typ == msgtype.Multiple {
		c := new(wire.MultipleContent)
		if proto.Unmarshal(content, c) != nil {
			return content
		}
		for _, item := range c.Items {
			item.Content = s.sign(user, item.Type, item.Content)
		}
		content, _ = proto.Marshal(c)
		return content
	}
	c, file := decodeFile(typ, content)
	if file.GetObject() == "" {
		return content
	}
	url := func(v media.Variant) string { return files.URL(file.Object, v, file.Name, user.app, user.id) }
	file.Url = url(media.Original)
	if image, ok := c.(*wire.ImageContent); ok {
		image.LargeUrl, image.ThumbnailUrl = url(media.LargeImage), url(media.Thumbnail)
	}
	content, _ = proto.Marshal(c)
	return content
}

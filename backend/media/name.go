package media

import (
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// cleanName returns a user's name for a file as a browser may have it: without control characters, separators of paths and
// what turns the direction of writing, so that it neither leads anywhere nor looks like another.
func cleanName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r == '/', r == '\\', r == utf8.RuneError, unicode.IsControl(r), unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp):
			return -1
		}
		return r
	}, name)
	for len(name) > maxName {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	// "." and ".." are no last element of a URL's path.
	if name = strings.TrimSpace(name); strings.Trim(name, ".") == "" {
		return "file"
	}
	return name
}

// maxEscaped is how long a name in a URL may be, so that the URL has the documented 500 bytes at most.
const maxEscaped = 160

// shortName returns a clean name as a URL has it: the middle of a long one is left out, and the extension stays.
func shortName(name string) string {
	if 3*len(name) <= maxEscaped {
		return name
	}
	extension := path.Ext(name)
	if len(url.PathEscape(extension)) > 32 {
		extension = ""
	}
	stem := strings.TrimSuffix(name, extension)
	room := maxEscaped - len(url.PathEscape(extension))
	for i, r := range stem {
		if room -= len(url.PathEscape(string(r))); room < 0 {
			stem = stem[:i]
			break
		}
	}
	return stem + extension
}

// disposition returns the Content-Disposition for a name as in RFC 6266: what is not plain ASCII is there twice.
func disposition(kind, name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '%' {
			return '_'
		}
		return r
	}, name)
	d := kind + `; filename="` + plain + `"`
	if plain != name {
		d += "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	}
	return d
}

// inlineTypes are the types that a browser may show: none of them runs anything.
var inlineTypes = map[string]bool{
	"audio/aac": true, "audio/aiff": true, "audio/amr": true, "audio/basic": true, "audio/flac": true, "audio/midi": true,
	"audio/mp4": true, "audio/mpeg": true, "audio/ogg": true, "audio/wave": true,
	"image/bmp": true, "image/gif": true, "image/heic": true, "image/heif": true, "image/jpeg": true, "image/png": true,
	"image/tiff": true, "image/webp": true,
	"video/3gpp": true, "video/avi": true, "video/mp4": true, "video/quicktime": true, "video/webm": true,
}

// extensions are types that can't be told from the first bytes. They count only for what does not look like text either.
var extensions = map[string]string{
	".3gp": "video/3gpp", ".aac": "audio/aac", ".amr": "audio/amr", ".flac": "audio/flac", ".heic": "image/heic",
	".heif": "image/heif", ".m4a": "audio/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".mp3": "audio/mpeg",
	".mp4": "video/mp4", ".tif": "image/tiff", ".tiff": "image/tiff",
}

const opaque = "application/octet-stream"

// contentType returns the type that an object is served as, and whether a browser may show it. sniffed is what its first
// bytes look like.
func contentType(sniffed, name string) (string, bool) {
	extension := extensions[strings.ToLower(path.Ext(name))]
	switch sniffed {
	case opaque:
		if extension != "" {
			sniffed = extension
		}
	case "application/ogg":
		sniffed = "audio/ogg"
	case "video/mp4":
		// The container is the same.
		if extension == "audio/mp4" {
			sniffed = extension
		}
	}
	if !inlineTypes[sniffed] {
		return opaque, false
	}
	return sniffed, true
}

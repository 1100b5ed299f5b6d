package media_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/draw"
	"image/gif"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/zim-go/zim/backend/media"
)

func TestVariants(t *testing.T) {
	s := newSite(t, media.Config{})
	type size = media.Image
	for _, test := range []struct {
		name          string
		width, height int
		alpha         uint8
		large, small  size
	}{
		{"small", 320, 200, 255, size{}, size{}},
		{"medium", 321, 200, 255, size{}, size{Width: 320, Height: 199}},
		{"wide", 2600, 260, 255, size{Width: 1280, Height: 128}, size{Width: 320, Height: 32}},
		{"high", 100, 1281, 255, size{Width: 99, Height: 1280}, size{Width: 24, Height: 320}},
		{"a line", 5000, 1, 255, size{Width: 1280, Height: 1}, size{Width: 320, Height: 1}},
		{"alpha", 1300, 130, 100, size{Width: 1280, Height: 128}, size{Width: 320, Height: 32}},
	} {
		img := picture(test.width, test.height, test.alpha)
		original := pngOf(t, img)
		o := s.put(media.KindImage, test.name, original)
		want(t, "size of "+test.name, size{Width: o.Width, Height: o.Height}, size{Width: test.width, Height: test.height})
		want(t, "large image of "+test.name, o.Large, test.large)
		want(t, "thumbnail of "+test.name, o.Thumbnail, test.small)
		for v, dims := range map[media.Variant]size{media.LargeImage: test.large, media.Thumbnail: test.small} {
			r := s.get(o, v)
			if dims == (size{}) {
				want(t, "original instead", r.body == string(original), true)
				continue
			}
			got, format, err := image.Decode(strings.NewReader(r.body))
			if err != nil {
				t.Fatal(err)
			}
			want(t, "format of "+test.name, format, map[bool]string{true: "jpeg", false: "png"}[test.alpha == 255])
			want(t, "Content-Type", r.header.Get("Content-Type"), "image/"+format)
			want(t, "dimensions", got.Bounds(), image.Rect(0, 0, dims.Width, dims.Height))
			if dims.Height > 1 {
				near(t, got.At(dims.Width/2, 2), img.At(0, 0))
				near(t, got.At(dims.Width/2, dims.Height-3), img.At(0, test.height-1))
			}
		}
	}
	// The bytes of the smaller versions do not count.
	o := s.put(media.KindImage, "", pngOf(t, picture(2000, 100, 255)))
	s.restart()
	got := s.object(o.ID)
	want(t, "object after a restart", *got, *o)
}

func near(t *testing.T, got, want color.Color) {
	t.Helper()
	r, g, b, a := got.RGBA()
	r2, g2, b2, a2 := want.RGBA()
	for i, v := range []uint32{r, g, b, a} {
		if d := int(v) - int([]uint32{r2, g2, b2, a2}[i]); d > 0x0800 || d < -0x0800 {
			t.Errorf("the colour is %v, want %v", got, want)
			return
		}
	}
}

func TestFormats(t *testing.T) {
	s := newSite(t, media.Config{})
	img := picture(640, 400, 255)
	paletted := image.NewPaletted(img.Rect, palette.Plan9)
	draw.Draw(paletted, img.Rect, img, image.Point{}, draw.Src)
	for name, encode := range map[string]func(w io.Writer) error{
		"gif":  func(w io.Writer) error { return gif.Encode(w, paletted, nil) },
		"bmp":  func(w io.Writer) error { return bmp.Encode(w, img) },
		"tiff": func(w io.Writer) error { return tiff.Encode(w, img, nil) },
	} {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			t.Fatal(err)
		}
		o := s.put(media.KindImage, name, b.Bytes())
		want(t, "width of a "+name, o.Width, 640)
		want(t, "thumbnail of a "+name, o.Thumbnail, media.Image{Width: 320, Height: 200})
		o = s.put(media.KindFile, name, b.Bytes())
		want(t, "thumbnail of a file", o.Thumbnail, media.Image{})
	}
	// A webp of which there is no more than the header.
	webp := "RIFF\x24\x00\x00\x00WEBPVP8 \x18\x00\x00\x00\x30\x01\x00\x9d\x01\x2a\x00\x04\x00\x03" + strings.Repeat("\x00", 14)
	o := s.put(media.KindImage, "webp", []byte(webp))
	want(t, "width of a webp", o.Width, 1024)
	want(t, "thumbnail of a broken webp", o.Thumbnail, media.Image{})
	o = s.put(media.KindImage, "x.heic", []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"))
	want(t, "width of a heic", o.Width, 0)
	want(t, "Content-Type of a heic", s.get(o, media.Thumbnail).header.Get("Content-Type"), "image/heic")
}

// withOrientation adds what a camera writes if it was turned.
func withOrientation(b []byte, o uint16) []byte {
	exif := []byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00")
	binary.BigEndian.PutUint16(exif[6+8+2+8:], o)
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(exif)+2))
	return append(append(append([]byte{0xff, 0xd8}, segment...), exif...), b[2:]...)
}

func TestOrientation(t *testing.T) {
	s := newSite(t, media.Config{})
	b := jpegOf(t, picture(400, 200, 255)) // red above
	red, blue := color.NRGBA{R: 255, A: 255}, color.NRGBA{B: 255, A: 255}
	for o, first := range map[uint16]color.Color{1: red, 2: red, 3: blue, 4: blue, 5: red, 6: blue, 7: blue, 8: red} {
		object := s.put(media.KindImage, "x.jpg", withOrientation(b, o))
		size := media.Image{Width: 320, Height: 160}
		if o >= 5 {
			size = media.Image{Width: 160, Height: 320}
		}
		want(t, "thumbnail", object.Thumbnail, size)
		want(t, "width", object.Width, size.Width*5/4)
		img, _, err := image.Decode(strings.NewReader(s.get(object, media.Thumbnail).body))
		if err != nil {
			t.Fatal(err)
		}
		near(t, img.At(3, 3), first)
	}
	for _, o := range []uint16{0, 9, 0xffff} {
		want(t, "thumbnail", s.put(media.KindImage, "", withOrientation(b, o)).Thumbnail, media.Image{Width: 320, Height: 160})
	}
	for n := range 40 {
		cut := bytes.Clone(b)
		copy(cut, withOrientation(b, 6)[:n])
		s.put(media.KindImage, "", cut)
	}
}

// bomb is a PNG that is small and says that it is large.
func bomb(width, height uint32) []byte {
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte("IHDR"), width), height)
	header = append(header, 8, 6, 0, 0, 0)
	b := append([]byte("\x89PNG\r\n\x1a\n"), 0, 0, 0, 13)
	b = binary.BigEndian.AppendUint32(append(b, header...), crc32.ChecksumIEEE(header))
	return append(b, "\x00\x00\x00\x04IDATxxxx"...)
}

func TestBomb(t *testing.T) {
	s := newSite(t, media.Config{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	o := s.put(media.KindImage, "", bomb(30000, 30000))
	runtime.ReadMemStats(&after)
	want(t, "size", media.Image{Width: o.Width, Height: o.Height}, media.Image{Width: 30000, Height: 30000})
	want(t, "thumbnail", o.Thumbnail, media.Image{})
	if n := after.TotalAlloc - before.TotalAlloc; n > 2<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
	o = s.put(media.KindImage, "", bomb(1<<31-1, 1<<31-1))
	want(t, "thumbnail", o.Thumbnail, media.Image{})
	want(t, "status", s.get(o, media.Thumbnail).status, 200)
}

// Images that are broken are files like others.
func TestBrokenImages(t *testing.T) {
	s := newSite(t, media.Config{})
	b := pngOf(t, picture(640, 400, 255))
	damaged := bytes.Clone(b)
	damaged[len(b)/2] ^= 0xff
	for name, content := range map[string][]byte{
		"cut": b[:len(b)/2], "header": b[:20], "magic": b[:8], "damaged": damaged, "text": []byte("hello"), "zero": bomb(0, 0),
		"jpeg": []byte("\xff\xd8\xff\xe1\x00"), "gif": []byte("GIF89a\x00"), "tiff": []byte("II*\x00\xff\xff\xff\xff"),
		"bmp": []byte("BM\x00\x00\x00\x00\x00\x00\x00\x00"), "webp": []byte("RIFF\x00\x00\x00\x00WEBPVP8L"),
	} {
		o := s.put(media.KindImage, name, content)
		want(t, "thumbnail of "+name, o.Thumbnail, media.Image{})
		want(t, "content of "+name, s.get(o, media.LargeImage).body == string(content), true)
	}
}

// One image is decoded at a time; who does not want to wait any more finds the upload finished later.
func TestDecodingWaits(t *testing.T) {
	s := newSite(t, media.Config{})
	arrived := s.arrivals()
	content := pngOf(t, picture(640, 400, 255))
	id, ticket := s.ticket(media.KindImage, "", len(content))
	s.post(ticket, len(content))
	release := s.HoldDecoding()
	first := make(chan int)
	go func() {
		r, err := s.try("PATCH", "media/upload/"+id, bytes.NewReader(content), patchHeaders(ticket, 0)...)
		if err != nil {
			t.Error(err)
		}
		first <- r.status
	}()
	<-arrived
	second := make(chan int)
	go func() {
		r, err := s.try("HEAD", "media/upload/"+id, nil, tus(ticket)...)
		if err != nil {
			t.Error(err)
		}
		second <- r.status
	}()
	want(t, "status of who was broken off", <-first, http.StatusConflict)
	if _, err := s.Object(id); err != media.ErrNotFound {
		t.Errorf("Object returns %v", err)
	}
	// Others are not kept waiting.
	go func() { <-arrived }()
	s.put(media.KindFile, "", []byte("x"))
	release()
	want(t, "status of who waited", <-second, http.StatusOK)
	want(t, "thumbnail", s.object(id).Thumbnail, media.Image{Width: 320, Height: 200})
}

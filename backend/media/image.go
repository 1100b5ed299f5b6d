package media

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path"

	"golang.org/x/image/bmp"
	"golang.org/x/image/draw"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// How wide and high smaller versions are at most, and how good.
const (
	largeSide     = 1280
	thumbnailSide = 320
	quality       = 85
)

// A format is one of the images that are decoded.
type format struct {
	magic  string // "?" is any byte
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

// formats are those that this package imports, whatever else the program has registered with package image.
var formats = []format{
	{"\xff\xd8\xff", jpeg.DecodeConfig, jpeg.Decode},
	{"\x89PNG\r\n\x1a\n", png.DecodeConfig, png.Decode},
	{"GIF8?a", gif.DecodeConfig, gif.Decode},
	{"BM????\x00\x00\x00\x00", bmp.DecodeConfig, bmp.Decode},
	{"II*\x00", tiff.DecodeConfig, tiff.Decode},
	{"MM\x00*", tiff.DecodeConfig, tiff.Decode},
	{"RIFF????WEBPVP8", webp.DecodeConfig, webp.Decode},
}

func (f *format) matches(start []byte) bool {
	if len(start) < len(f.magic) {
		return false
	}
	for i, c := range []byte(f.magic) {
		if c != '?' && c != start[i] {
			return false
		}
	}
	return true
}

// shrink fills in what can be known of an image, and writes smaller versions to a directory. A file that is no image, or a
// broken one, has none. It returns an error of the disk, or why ctx ended before it was this image's turn.
func (s *Server) shrink(ctx context.Context, dir string, f *os.File, o *Object) error {
	var start [32]byte
	n, err := f.ReadAt(start[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, format := range formats {
		if format.matches(start[:n]) {
			return s.shrinkFormat(ctx, dir, f, o, &format)
		}
	}
	return nil
}

func (s *Server) shrinkFormat(ctx context.Context, dir string, f *os.File, o *Object, format *format) error {
	select {
	case s.decoding <- struct{}{}:
		defer func() { <-s.decoding }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var config image.Config
	err := try(func() (err error) {
		config, err = format.config(reader(f))
		return err
	})
	if err != nil || config.Width <= 0 || config.Height <= 0 {
		s.log.Info("media: an image is broken", "id", o.ID)
		return nil
	}
	turn := orientation(f)
	o.Width, o.Height = turn.size(config.Width, config.Height)
	if max(config.Width, config.Height) <= thumbnailSide {
		return nil
	}
	if int64(config.Width)*int64(config.Height) > int64(s.config.MaxPixels) {
		s.log.Info("media: an image is too large", "id", o.ID, "width", config.Width, "height", config.Height)
		return nil
	}
	var small []*image.RGBA
	err = try(func() error {
		img, err := format.decode(reader(f))
		if err != nil {
			return err
		}
		small = versions(img, turn)
		return nil
	})
	if err != nil {
		s.log.Info("media: an image can't be decoded", "id", o.ID)
		return nil
	}
	for i, img := range small {
		if img == nil {
			continue
		}
		name := [...]string{largeFile, thumbnailFile}[i]
		if err := s.writeFile(path.Join(dir, name), encoder(img)); err != nil {
			return err
		}
		*[...]*Image{&o.Large, &o.Thumbnail}[i] = Image{img.Rect.Dx(), img.Rect.Dy()}
	}
	return nil
}

// reader reads a file from its start. It is a ReaderAt, too: tiff would read all of the file into memory otherwise.
func reader(f *os.File) io.Reader {
	return struct {
		io.Reader
		io.ReaderAt
	}{bufio.NewReader(io.NewSectionReader(f, 0, 1<<62)), f}
}

// try makes an error of a panic: decoders are fed by strangers.
func try(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}

// encoder writes an image, as a JPEG if that shows all of it.
func encoder(img *image.RGBA) func(io.Writer) error {
	return func(w io.Writer) error {
		b := bufio.NewWriter(w)
		var err error
		if img.Opaque() {
			err = jpeg.Encode(b, img, &jpeg.Options{Quality: quality})
		} else {
			err = png.Encode(b, img)
		}
		return errors.Join(err, b.Flush())
	}
}

// versions returns the large image and the thumbnail, or nil for what img is not larger than.
func versions(img image.Image, turn turn) []*image.RGBA {
	size := img.Bounds().Size()
	small := make([]*image.RGBA, 2)
	for i, side := range []int{largeSide, thumbnailSide} {
		longest := max(size.X, size.Y)
		if longest <= side {
			continue
		}
		// The thumbnail is made of the large image.
		scaled := scale(img, max(size.X*side/longest, 1), max(size.Y*side/longest, 1))
		img = scaled
		small[i] = turn.apply(scaled)
	}
	return small
}

// scale returns an image in a smaller size.
func scale(img image.Image, width, height int) *image.RGBA {
	size := img.Bounds().Size()
	// The scaler below takes time and memory for each pixel that it reads.
	img = average(img, size.X/width, size.Y/height)
	scaled := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.CatmullRom.Scale(scaled, scaled.Rect, img, img.Bounds(), draw.Src, nil)
	return scaled
}

// average returns an image that has one pixel for each block of dx by dy. What makes no whole block at an edge is cut off.
func average(img image.Image, dx, dy int) image.Image {
	if dx <= 1 && dy <= 1 {
		return img
	}
	from := img.Bounds()
	to := image.NewRGBA(image.Rect(0, 0, from.Dx()/dx, from.Dy()/dy))
	rows := image.NewRGBA(image.Rect(0, 0, to.Rect.Dx()*dx, dy))
	sums := make([]uint64, to.Rect.Dx()*4)
	for y := range to.Rect.Dy() {
		draw.Draw(rows, rows.Rect, img, from.Min.Add(image.Pt(0, y*dy)), draw.Src)
		clear(sums)
		for row := range dy {
			for i, v := range rows.Pix[row*rows.Stride:][:len(sums)*dx] {
				sums[i/(4*dx)*4+i%4] += uint64(v)
			}
		}
		line := to.Pix[y*to.Stride:]
		for i, sum := range sums {
			line[i] = uint8((sum + uint64(dx*dy)/2) / uint64(dx*dy))
		}
	}
	return to
}

package media

import (
	"encoding/binary"
	"image"
	"os"
	"strings"
)

// A turn is how an image is to be turned to be seen upright, as EXIF numbers it: from 1, which is not at all, to 8. Cameras
// turn the number and not the image, and a smaller version does not have the number.
type turn int

// orientation returns how the image in a file is turned.
func orientation(f *os.File) turn {
	b := make([]byte, 128<<10) // the number is in one of the first segments, of at most 64 KiB
	n, _ := f.ReadAt(b, 0)
	if n < 4 || string(b[:2]) != "\xff\xd8" {
		return 1
	}
	for b = b[2:n]; len(b) > 4 && b[0] == 0xff; {
		size := int(binary.BigEndian.Uint16(b[2:])) + 2
		if b[1] == 0xda || size > len(b) {
			break
		}
		if segment, ok := strings.CutPrefix(string(b[4:max(size, 4)]), "Exif\x00\x00"); ok && b[1] == 0xe1 {
			return exifTurn([]byte(segment))
		}
		b = b[max(size, 4):]
	}
	return 1
}

// exifTurn finds the number in the first directory of a TIFF.
func exifTurn(b []byte) turn {
	if len(b) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.BigEndian
	if b[0] == 'I' {
		order = binary.LittleEndian
	}
	at := uint64(order.Uint32(b[4:]))
	if at+2 > uint64(len(b)) {
		return 1
	}
	count, entries := int(order.Uint16(b[at:])), b[at+2:]
	for ; count > 0 && len(entries) >= 12; count, entries = count-1, entries[12:] {
		if order.Uint16(entries) == 0x0112 {
			if t := turn(order.Uint16(entries[8:])); t >= 1 && t <= 8 {
				return t
			}
			break
		}
	}
	return 1
}

// size returns the size of an image when it is turned.
func (t turn) size(width, height int) (int, int) {
	if t >= 5 {
		return height, width
	}
	return width, height
}

// apply returns the image as it is to be seen.
func (t turn) apply(img *image.RGBA) *image.RGBA {
	if t == 1 {
		return img
	}
	w, h := img.Rect.Dx()-1, img.Rect.Dy()-1
	turned := image.NewRGBA(image.Rect(0, 0, 0, 0))
	turned.Rect.Max.X, turned.Rect.Max.Y = t.size(w+1, h+1)
	turned = image.NewRGBA(turned.Rect)
	for y := range turned.Rect.Dy() {
		for x := range turned.Rect.Dx() {
			from := [...]image.Point{2: {w - x, y}, 3: {w - x, h - y}, 4: {x, h - y}, 5: {y, x}, 6: {y, h - x}, 7: {w - y, h - x}, 8: {w - y, x}}[t]
			copy(turned.Pix[turned.PixOffset(x, y):][:4], img.Pix[img.PixOffset(from.X, from.Y):])
		}
	}
	return turned
}

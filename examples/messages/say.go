package main

import (
	"fmt"
	"strings"

	"github.com/zim-go/zim"
)

// say returns what messages say, kind by kind.
func say(list ...*zim.Message) string {
	var parts []string
	for _, m := range list {
		parts = append(parts, sayContent(m.Content))
	}
	return strings.Join(parts, ", ")
}

func sayContent(c zim.Content) string {
	what := ""
	switch c := c.(type) {
	case *zim.TextMessage:
		what = c.Message
	case *zim.CommandMessage:
		what = string(c.Message)
	case *zim.BarrageMessage:
		what = c.Message
	case *zim.CustomMessage:
		what = fmt.Sprintf("%d: %s", c.SubType, c.Message)
	case *zim.ImageMessage:
		what = fmt.Sprintf("%s, %v, thumbnail %v", c.Name, c.OriginalImageSize, c.ThumbnailSize)
	case *zim.FileMessage:
		what = fmt.Sprintf("%s, %d bytes", c.Name, c.Size)
	case *zim.AudioMessage:
		what = fmt.Sprintf("%s, %v", c.Name, c.AudioDuration)
	case *zim.VideoMessage:
		what = fmt.Sprintf("%s, %v", c.Name, c.VideoDuration)
	case *zim.MultipleMessage:
		for _, item := range c.MessageInfoList {
			what += " [" + sayContent(item) + "]"
		}
	case *zim.CombineMessage:
		what = fmt.Sprintf("%s (%s)", c.Title, c.Summary)
	case *zim.RevokeMessage:
		what = "was: " + c.OriginalTextMessageContent
	default:
	}
	return fmt.Sprintf("%v %s", c.Type(), strings.TrimSpace(what))
}

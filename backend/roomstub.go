package backend

import "github.com/zim-go/zim/wire"

func (a *attachment) sendToRoom(s *session, id uint64, req *wire.SendMessageRequest) {
	a.refuse(id, refuse(codeUnsupported, "rooms"))
}

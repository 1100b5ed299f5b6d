package restapi

import (
	"github.com/zim-go/zim/backend/internal/apicode"
	"github.com/zim-go/zim/wire"
)

// A failure is why a request, or one item of it, was not done.
type failure struct {
	code    int
	message string // has nothing of what was sent
	status  int    // of HTTP; zero is 200
}

func fail(code int, message string) *failure { return &failure{code: code, message: message} }

func badInput(message string) *failure { return fail(apicode.Input, message) }

// failed makes a failure of a refusal. special has the codes that mean something else in this place.
func failed(e *wire.Error, special map[int32]int) *failure {
	code, ok := special[e.Code]
	if !ok {
		code = apicode.Of(e.Code)
	}
	return fail(code, e.Message)
}

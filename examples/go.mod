module github.com/zim-go/zim/examples

go 1.26

require (
	github.com/zim-go/zim v0.0.0
	github.com/zim-go/zim/backend v0.0.0
)

replace (
	github.com/zim-go/zim => ../
	github.com/zim-go/zim/backend => ../backend
)

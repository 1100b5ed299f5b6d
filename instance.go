package zim

import "sync/atomic"

var instance atomic.Pointer[ZIM]

// Create makes the ZIM of this process, as [New] does, and keeps it for [GetInstance]. A second call fails with
// [ErrAlreadyCreated] until the first ZIM is destroyed. Programs that act for several users use New.
func Create(config AppConfig) (*ZIM, error) {
	z, err := newZIM("Create", config)
	if err != nil {
		return nil, err
	}
	if !instance.CompareAndSwap(nil, z) {
		z.Destroy()
		return nil, &Error{Op: "Create", Code: ErrAlreadyCreated}
	}
	return z, nil
}

// GetInstance returns what Create made, or nil before Create and after Destroy.
func GetInstance() *ZIM { return instance.Load() }

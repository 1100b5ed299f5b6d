package dirlock

// MakeWith is Make with another Sync.
func MakeWith(path string, sync func(dir string) error) error { return makeDir(path, sync) }

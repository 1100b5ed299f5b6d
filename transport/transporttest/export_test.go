package transporttest

import "testing"

// Checks returns the names of the checks.
func Checks() []string {
	var names []string
	for _, c := range checks {
		names = append(names, c.name)
	}
	return names
}

// Check runs the check of that name.
func Check(t testing.TB, name string, connect Connect) {
	for _, c := range checks {
		if c.name == name {
			c.run(t, connect)
		}
	}
}

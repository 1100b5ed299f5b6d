package restapi

import (
	"maps"
	"slices"
)

// Actions returns the names of the actions that there are, sorted.
func Actions() []string { return slices.Sorted(maps.Keys(actions)) }

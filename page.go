package zim

import "iter"

// paginate returns a sequence over what page returns page by page, beginning with the one for first. A page that fails ends
// the sequence with its error.
func paginate[T, C any](first C, page func(C) (items []T, next C, more bool, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for at := first; ; {
			items, next, more, err := page(at)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if !more {
				return
			}
			at = next
		}
	}
}

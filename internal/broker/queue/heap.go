package queue

// heap is a heap of offsets, by key, then by turn, then by offset.
type heap []heapItem

type heapItem struct {
	key    int64
	turn   uint64
	offset int64
}

func (a heapItem) less(b heapItem) bool {
	if a.key != b.key {
		return a.key < b.key
	}
	return a.turn < b.turn || a.turn == b.turn && a.offset < b.offset
}

func (h *heap) push(x heapItem) {
	l := append(*h, x)
	for i := len(l) - 1; i > 0; {
		up := (i - 1) / 2
		if !l[i].less(l[up]) {
			break
		}
		l[i], l[up] = l[up], l[i]
		i = up
	}
	*h = l
}

func (h *heap) pop() heapItem {
	l := *h
	top, last := l[0], len(l)-1
	l[0] = l[last]
	l = l[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			break
		}
		if down+1 < last && l[down+1].less(l[down]) {
			down++
		}
		if !l[down].less(l[i]) {
			break
		}
		l[i], l[down] = l[down], l[i]
		i = down
	}
	*h = l
	if last == 0 && cap(l) > 1024 {
		*h = nil
	}
	return top
}

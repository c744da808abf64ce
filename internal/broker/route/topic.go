package route

import (
	"slices"
	"strings"
)

// A topic pattern is a list of words split at '.': * stands for one word, #
// for any number. An empty key has no words.
//
// The matcher is a trie of patterns. A key is matched word by word with all
// nodes that its words so far lead to, so that the time is bounded by the
// words of the key and the nodes of the trie, whatever patterns clients bind.
// A run of wildcards is put in one form, stars first and then one #, since *.#
// and #.* and #.*.# mean the same; so the child of a # is never a wildcard,
// and a node is reached in one way only.
type topicMatcher struct{ root topicNode }

type topicNode struct {
	words   map[string]*topicNode
	star    *topicNode
	hash    *topicNode // once reached it takes all words that follow
	targets targets
}

// empty says that no pattern leads to or through n.
func (n *topicNode) empty() bool {
	return len(n.words) == 0 && n.star == nil && n.hash == nil && n.targets.empty()
}

// cutWord splits off the first word; more is false if it is the last.
func cutWord(key string) (word, rest string, more bool) {
	return strings.Cut(key, ".")
}

// patternWords returns the words of a pattern, wildcards in their one form.
func patternWords(pattern string) []string {
	if pattern == "" {
		return nil
	}
	var words []string
	hash := false
	for _, word := range strings.Split(pattern, ".") {
		switch word {
		case "#":
			hash = true
			continue
		case "*":
		default:
			if hash {
				words = append(words, "#")
			}
			hash = false
		}
		words = append(words, word)
	}
	if hash {
		words = append(words, "#")
	}
	return words
}

func (t *topicMatcher) add(b *binding) {
	n := &t.root
	for _, word := range patternWords(b.id.key) {
		n = n.grow(word)
	}
	n.targets.add(b.id.to)
}

// grow returns the child of n for a word of a pattern.
func (n *topicNode) grow(word string) *topicNode {
	child := n.child(word)
	if child != nil {
		return child
	}
	child = &topicNode{}
	switch word {
	case "*":
		n.star = child
	case "#":
		n.hash = child
	default:
		if n.words == nil {
			n.words = map[string]*topicNode{}
		}
		n.words[word] = child
	}
	return child
}

func (n *topicNode) child(word string) *topicNode {
	switch word {
	case "*":
		return n.star
	case "#":
		return n.hash
	}
	return n.words[word]
}

func (n *topicNode) drop(word string) {
	switch word {
	case "*":
		n.star = nil
	case "#":
		n.hash = nil
	default:
		delete(n.words, word)
	}
}

func (t *topicMatcher) remove(b *binding) {
	words := patternWords(b.id.key)
	path := make([]*topicNode, 1, len(words)+1)
	path[0] = &t.root
	for i, word := range words {
		path = append(path, path[i].child(word))
	}
	end := path[len(words)]
	end.targets.remove(b.id.to)
	for i := len(words); i > 0 && path[i].empty(); i-- {
		path[i-1].drop(words[i-1])
	}
}

// topicScratch is what a match works with.
type topicScratch struct {
	at, next []*topicNode            // where the words so far lead to, # left out
	hashes   []*topicNode            // the # nodes that were reached
	reached  map[*topicNode]struct{} // hashes, if there are many
}

func (t *topicMatcher) match(r *Result) bool {
	matched := false
	for _, key := range r.message.Keys {
		s := &r.topic
		s.walk(&t.root, key)
		for _, n := range s.at {
			matched = r.takeAll(&n.targets) || matched
		}
		for _, n := range s.hashes {
			matched = r.takeAll(&n.targets) || matched
		}
		s.reset()
	}
	return matched
}

// walk fills s with the nodes whose patterns match the key.
func (s *topicScratch) walk(root *topicNode, key string) {
	s.enter(root)
	s.at, s.next = s.next, s.at
	for more := key != ""; more; {
		var word string
		word, key, more = cutWord(key)
		reached := len(s.hashes)
		for _, n := range s.at {
			s.step(n, word)
		}
		for _, n := range s.hashes[:reached] {
			s.step(n, word)
		}
		s.at, s.next = s.next, s.at[:0]
	}
}

// step goes on from n by one word.
func (s *topicScratch) step(n *topicNode, word string) {
	if child := n.words[word]; child != nil {
		s.enter(child)
	}
	if n.star != nil {
		s.enter(n.star)
	}
}

// enter says that the words so far lead to n, and so to the # after it.
func (s *topicScratch) enter(n *topicNode) {
	s.next = append(s.next, n)
	if n.hash != nil && !s.has(n.hash) {
		s.hashes = append(s.hashes, n.hash)
	}
}

// manyHashes is how many # nodes are searched without a map.
const manyHashes = 32

// has says whether a # node was reached; if not it counts as reached now.
func (s *topicScratch) has(n *topicNode) bool {
	if len(s.hashes) < manyHashes {
		return slices.Contains(s.hashes, n)
	}
	if len(s.reached) == 0 {
		if s.reached == nil {
			s.reached = map[*topicNode]struct{}{}
		}
		for _, h := range s.hashes {
			s.reached[h] = struct{}{}
		}
	}
	_, ok := s.reached[n]
	s.reached[n] = struct{}{}
	return ok
}

// keepScratch is how many nodes a scratch that lies idle has room for.
const keepScratch = 256

// reset forgets all nodes, so that an idle scratch keeps none alive.
func (s *topicScratch) reset() {
	if cap(s.at)+cap(s.next)+cap(s.hashes) > keepScratch {
		*s = topicScratch{}
		return
	}
	clear(s.at[:cap(s.at)])
	clear(s.next[:cap(s.next)])
	clear(s.hashes)
	clear(s.reached)
	s.at, s.next, s.hashes = s.at[:0], s.next[:0], s.hashes[:0]
}

package access

import (
	"regexp"
	"strings"
)

// pattern is a compiled permission.
type pattern struct {
	all bool           // matches everything
	re  *regexp.Regexp // nil and not all: matches nothing
}

// parse compiles a pattern of a permission.
func parse(text string) (pattern, error) {
	switch text {
	case ".*":
		return pattern{all: true}, nil
	case "":
		text = "^$"
	}
	re, err := regexp.Compile(text)
	return pattern{re: re}, err
}

// compile is parse for what was stored: what is not a pattern, which Decide
// methods do not let in, matches nothing.
func compile(text string) pattern {
	p, err := parse(text)
	if err != nil {
		return pattern{}
	}
	return p
}

func (p pattern) matches(name string) bool {
	return p.all || p.re != nil && p.re.MatchString(name)
}

// expand puts the names into a topic permission, as names and not as patterns.
func expand(text, user, vhost string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	return strings.NewReplacer("{username}", regexp.QuoteMeta(user), "{vhost}", regexp.QuoteMeta(vhost)).Replace(text)
}

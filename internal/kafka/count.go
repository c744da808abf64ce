package kafka

import (
	"reflect"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Counting error codes, for Metrics.Error. A response has one code, or one for
// each partition, group or whatever it is about; each counts.

// ErrorName is the protocol's name of an error code,
// "UNKNOWN_TOPIC_OR_PARTITION".
func ErrorName(code int16) string {
	if e := kerr.TypedErrorForCode(code); e != nil {
		return e.Message
	}
	return "NONE"
}

// count counts the error codes of a response.
func (s *Server) count(resp kmsg.Response) {
	if s.cfg.Metrics.Error == nil {
		return
	}
	codes := errorCounts{}
	if p, ok := resp.(*kmsg.ProduceResponse); ok { // the hot path
		for i := range p.Topics {
			for j := range p.Topics[i].Partitions {
				codes.add(p.Topics[i].Partitions[j].ErrorCode)
			}
		}
	} else {
		v := reflect.ValueOf(resp).Elem()
		codesOf(v.Type()).walk(v, &codes)
	}
	s.tell(resp.Key(), &codes)
}

// countFetch is count for a response to a fetch.
func (s *Server) countFetch(top error, about []fetchResult) {
	if s.cfg.Metrics.Error == nil {
		return
	}
	codes := errorCounts{}
	codes.add(code(top))
	for i := range about {
		if about[i].err != nil {
			codes.add(code(about[i].err))
		}
	}
	s.tell(kmsg.Fetch.Int16(), &codes)
}

func (s *Server) tell(key int16, codes *errorCounts) {
	for code, times := range codes.by {
		s.cfg.Metrics.Error(key, code, times)
	}
}

// errorCounts counts codes that are not 0.
type errorCounts struct{ by map[int16]int }

func (c *errorCounts) add(code int16) {
	if code == 0 {
		return
	}
	if c.by == nil {
		c.by = map[int16]int{}
	}
	c.by[code]++
}

// codeFields says where a type of kmsg has error codes.
type codeFields struct {
	code  []int // fields that are one
	below []codeField
}

// codeField is a field that holds a struct, or a slice of them, with codes.
type codeField struct {
	index int
	of    *codeFields
}

var codesByType sync.Map // reflect.Type → *codeFields

// codesOf looks a type over once.
func codesOf(t reflect.Type) *codeFields {
	if known, ok := codesByType.Load(t); ok {
		return known.(*codeFields)
	}
	c := &codeFields{}
	for i := range t.NumField() {
		f := t.Field(i)
		of := f.Type
		if of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		switch {
		case !f.IsExported():
		case f.Name == "ErrorCode":
			c.code = append(c.code, i)
		case of.Kind() == reflect.Struct:
			if below := codesOf(of); len(below.code)+len(below.below) > 0 {
				c.below = append(c.below, codeField{i, below})
			}
		}
	}
	codesByType.Store(t, c)
	return c
}

func (c *codeFields) walk(v reflect.Value, codes *errorCounts) {
	for _, i := range c.code {
		codes.add(int16(v.Field(i).Int()))
	}
	for _, b := range c.below {
		f := v.Field(b.index)
		if f.Kind() == reflect.Struct {
			b.of.walk(f, codes)
			continue
		}
		for i := range f.Len() {
			b.of.walk(f.Index(i), codes)
		}
	}
}

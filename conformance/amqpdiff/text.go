package amqpdiff

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// fields are the fields of a method that are not zero, for people and for
// comparing. Texts of errors are left out.
func fields(m wire.Method) string {
	v := reflect.ValueOf(m).Elem()
	var out []string
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name == "ReplyText" {
			continue
		}
		switch x := v.Field(i).Interface().(type) {
		case wire.Table:
			if x.Len() > 0 {
				out = append(out, name+"="+tableText(x))
			}
		case wire.ReplyCode:
			out = append(out, fmt.Sprintf("%s=%d", name, uint16(x)))
		case string:
			out = append(out, fmt.Sprintf("%s=%q", name, x))
		default:
			if !v.Field(i).IsZero() {
				out = append(out, fmt.Sprintf("%s=%v", name, x))
			}
		}
	}
	return strings.Join(out, " ")
}

// propertiesText is all of the properties, headers sorted by their keys.
func propertiesText(r wire.RawProperties) string {
	p := r.Decode()
	v := reflect.ValueOf(p)
	var out []string
	for i := wire.PropContentType; i <= wire.PropClusterID; i++ {
		if !p.Flags.Has(i) {
			continue
		}
		value := v.Field(int(i) + 1).Interface()
		if i == wire.PropHeaders {
			value = tableText(p.Headers)
		}
		out = append(out, fmt.Sprintf("%v=%v", i, value))
	}
	return "{" + strings.Join(out, " ") + "}"
}

// tableText is a table sorted by key. The time of a death is not compared.
func tableText(t wire.Table) string {
	var out []string
	for key, v := range t.All() {
		text := valueText(v)
		if string(key) == "time" && v.Kind() == wire.KindTime {
			text = "T"
		}
		out = append(out, string(key)+":"+text)
	}
	slices.Sort(out)
	return "{" + strings.Join(out, ", ") + "}"
}

// valueText is a value with its kind.
func valueText(v wire.Value) string {
	if t, ok := v.Table(); ok {
		return tableText(t)
	}
	if a, ok := v.Array(); ok {
		var out []string
		for x := range a.All() {
			out = append(out, valueText(x))
		}
		return "[" + strings.Join(out, " ") + "]"
	}
	return fmt.Sprintf("%c(%v)", v.Kind(), v)
}

package settings

import "strconv"

// Source says where a value comes from.
type Source uint8

// The sources of values, the strongest first.
const (
	FromTopic   Source = iota // an override of the topic
	FromDynamic               // set for the broker while running
	FromStatic                // the operator gave it at start
	FromDefault
)

// Value is one value of a setting, and where it comes from.
type Value struct {
	Name   string // the topic setting or the broker setting that it stands under
	Value  string
	Source Source
}

// Entry describes one setting as it holds now.
type Entry struct {
	*Definition
	Value  string // "": unset
	Source Source
	// Synonyms are all values that there are, the one that holds first.
	Synonyms []Value
}

// Static returns the broker settings that the operator gave. Read only.
func (b *Broker) Static() map[string]string { return b.static }

// Dynamic returns the broker settings that were set while running. Read only.
func (b *Broker) Dynamic() map[string]string { return b.dynamic }

// Describe lists all broker settings, by name.
func (b *Broker) Describe() []Entry {
	entries := make([]Entry, 0, len(brokerTable))
	for i := range brokerTable {
		s := &brokerTable[i]
		entries = append(entries, entry(&s.Definition, b.values(s.Name)))
	}
	return entries
}

// DescribeTopic lists all settings, by name, of a topic with these overrides.
func (b *Broker) DescribeTopic(overrides map[string]string) []Entry {
	entries := make([]Entry, 0, len(topicTable))
	for i := range topicTable {
		d := &topicTable[i].Definition
		var values []Value
		if v, ok := overrides[d.Name]; ok {
			values = append(values, Value{d.Name, d.Clean(v), FromTopic})
		}
		for _, name := range d.From {
			values = append(values, b.values(name)...)
		}
		if d.From == nil && d.Default != "" {
			values = append(values, Value{d.Name, d.Default, FromDefault})
		}
		e := entry(d, values)
		e.Value = inUnitsOf(d, e)
		entries = append(entries, e)
	}
	return entries
}

func entry(d *Definition, values []Value) Entry {
	e := Entry{Definition: d, Source: FromDefault, Synonyms: values}
	if len(values) > 0 {
		e.Value, e.Source = values[0].Value, values[0].Source
	}
	return e
}

// values are the values of one broker setting, the strongest first.
func (b *Broker) values(name string) []Value {
	var values []Value
	if v, ok := b.dynamic[name]; ok {
		values = append(values, Value{name, v, FromDynamic})
	}
	if v, ok := b.static[name]; ok {
		values = append(values, Value{name, v, FromStatic})
	}
	if def := BrokerDefinition(name).Default; def != "" {
		values = append(values, Value{name, def, FromDefault})
	}
	return values
}

// inUnitsOf returns the value of e as the topic setting d writes it: the
// retention of a broker may be given in hours, that of a topic never.
func inUnitsOf(d *Definition, e Entry) string {
	if d.Name != "retention.ms" || len(e.Synonyms) == 0 {
		return e.Value
	}
	switch e.Synonyms[0].Name {
	case "log.retention.hours":
		return scaled(e.Value, 60*60*1000)
	case "log.retention.minutes":
		return scaled(e.Value, 60*1000)
	}
	return e.Value
}

func scaled(value string, ms int64) string {
	n := number(value)
	if n > 0 {
		n *= ms // at most 2^31 hours: no overflow
	}
	return strconv.FormatInt(n, 10)
}

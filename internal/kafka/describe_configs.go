package kafka

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/settings"
)

// DescribeConfigs (key 32), versions 1 to 4.
//
// Behaviour: describes topics, this node (by its id), and the dynamic broker
// settings (broker ""). Names that are not known are left out. Other kinds of
// resources, among them broker loggers, are INVALID_REQUEST, and so are those
// with which the response would have too many settings.
//
// Version notes: 3 brings types and documentation.

func (s *Server) describeConfigs(_ *request, req *kmsg.DescribeConfigsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	named := once[configResource]{}
	left := configEntriesMax
	for i := range req.Resources {
		want := &req.Resources[i]
		if !named.first(configResource{want.ResourceType, want.ResourceName}) {
			continue
		}
		r := kmsg.NewDescribeConfigsResponseResource()
		r.ResourceType, r.ResourceName = want.ResourceType, want.ResourceName
		var configs []kmsg.DescribeConfigsResponseResourceConfig
		err := errConfigEntries
		if left -= entriesOf(want); left >= 0 {
			configs, err = s.describeResource(want)
		}
		if err != nil {
			r.ErrorCode, r.ErrorMessage = code(err), message(err)
		}
		for _, c := range configs {
			if want.ConfigNames != nil && !slices.Contains(want.ConfigNames, c.Name) {
				continue
			}
			if !req.IncludeSynonyms {
				c.ConfigSynonyms = nil
			}
			if !req.IncludeDocumentation {
				c.Documentation = nil
			}
			r.Configs = append(r.Configs, c)
		}
		resp.Resources = append(resp.Resources, r)
	}
	return resp
}

// configResource names what has settings.
type configResource struct {
	kind kmsg.ConfigResourceType
	name string
}

// configEntriesMax bounds the settings of one response: those of 4,000 topics
// in full.
const configEntriesMax = 160_000

var errConfigEntries = refuse(kerr.InvalidRequest, "too many settings for one response: ask for fewer resources, or for settings by name")

// entriesOf is the most settings that a resource can have in the response.
func entriesOf(want *kmsg.DescribeConfigsRequestResource) int {
	const all = 40
	if want.ConfigNames == nil {
		return all
	}
	return min(len(want.ConfigNames), all)
}

// describeConfigsBytes is what the response takes.
func (s *Server) describeConfigsBytes(req *kmsg.DescribeConfigsRequest) int64 {
	n, entries := int64(answerBytes), int64(0)
	named := once[configResource]{}
	for i := range req.Resources {
		want := &req.Resources[i]
		if !named.first(configResource{want.ResourceType, want.ResourceName}) {
			continue
		}
		n += answerElementBytes + longTextTimes*int64(len(want.ResourceName))
		entries += int64(entriesOf(want))
		overrides := s.broker.SettingOverrides()
		if t, err := s.topic(false, want.ResourceName, [16]byte{}); err == nil {
			overrides = t.Overrides
		}
		for _, v := range overrides {
			n += 2 * longTextTimes * int64(len(v)) // as the value and as a synonym
		}
	}
	return n + configEntryBytes*min(entries, configEntriesMax)
}

func (s *Server) describeResource(want *kmsg.DescribeConfigsRequestResource) ([]kmsg.DescribeConfigsResponseResourceConfig, error) {
	st := s.broker.Settings()
	switch want.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		t, err := s.topic(false, want.ResourceName, [16]byte{})
		if err != nil {
			return nil, s.nameError(want.ResourceName, err)
		}
		return describeEntries(st.DescribeTopic(t.Overrides)), nil
	case kmsg.ConfigResourceTypeBroker:
		if err := s.checkNode(want.ResourceName); err != nil {
			return nil, err
		}
		if want.ResourceName == "" {
			return describeDynamic(describeEntries(st.Describe())), nil
		}
		return append(describeEntries(st.Describe()), s.nodeConfigs()...), nil
	}
	return nil, errResource
}

var errResource = refuse(kerr.InvalidRequest, "only topics and brokers have settings here")

// checkNode allows the name of this node, and "" for all brokers.
func (s *Server) checkNode(name string) error {
	if id := strconv.Itoa(int(s.cfg.NodeID)); name != "" && name != id {
		return refuse(kerr.InvalidRequest, "this is node "+id+", not "+strconv.Quote(name))
	}
	return nil
}

// sourceCodes are Kafka's codes of where a value comes from.
var sourceCodes = map[settings.Source]kmsg.ConfigSource{
	settings.FromTopic:   kmsg.ConfigSourceDynamicTopicConfig,
	settings.FromDynamic: kmsg.ConfigSourceDynamicBrokerConfig,
	settings.FromStatic:  kmsg.ConfigSourceStaticBrokerConfig,
	settings.FromDefault: kmsg.ConfigSourceDefaultConfig,
}

// typeCodes are Kafka's codes of types.
var typeCodes = map[settings.Type]kmsg.ConfigType{
	settings.Bool:   kmsg.ConfigTypeBoolean,
	settings.String: kmsg.ConfigTypeString,
	settings.Int:    kmsg.ConfigTypeInt,
	settings.Long:   kmsg.ConfigTypeLong,
	settings.Double: kmsg.ConfigTypeDouble,
	settings.List:   kmsg.ConfigTypeList,
}

func describeEntries(entries []settings.Entry) []kmsg.DescribeConfigsResponseResourceConfig {
	configs := make([]kmsg.DescribeConfigsResponseResourceConfig, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		c := kmsg.NewDescribeConfigsResponseResourceConfig()
		c.Name, c.Value, c.ReadOnly = e.Name, settingValue(e), e.ReadOnly
		c.IsDefault = e.Source == settings.FromDefault
		c.Source, c.ConfigType, c.Documentation = sourceCodes[e.Source], typeCodes[e.Type], &e.Doc
		for _, v := range e.Synonyms {
			syn := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			syn.Name, syn.Value, syn.Source = v.Name, &v.Value, sourceCodes[v.Source]
			c.ConfigSynonyms = append(c.ConfigSynonyms, syn)
		}
		configs = append(configs, c)
	}
	return configs
}

// settingValue is null for a setting that has no value.
func settingValue(e *settings.Entry) *string {
	if e.Value == "" && e.Type != settings.List {
		return nil
	}
	return &e.Value
}

// describeDynamic keeps what was set for all brokers while running.
func describeDynamic(configs []kmsg.DescribeConfigsResponseResourceConfig) []kmsg.DescribeConfigsResponseResourceConfig {
	configs = slices.DeleteFunc(configs, func(c kmsg.DescribeConfigsResponseResourceConfig) bool {
		return c.Source != kmsg.ConfigSourceDynamicBrokerConfig
	})
	for i := range configs {
		c := &configs[i]
		c.Source = kmsg.ConfigSourceDynamicDefaultBrokerConfig
		c.ConfigSynonyms = c.ConfigSynonyms[:1]
		c.ConfigSynonyms[0].Source = c.Source
	}
	return configs
}

// nodeConfigs are what tools look for besides the settings.
func (s *Server) nodeConfigs() []kmsg.DescribeConfigsResponseResourceConfig {
	var configs []kmsg.DescribeConfigsResponseResourceConfig
	id := strconv.Itoa(int(s.cfg.NodeID))
	for _, name := range []string{"broker.id", "node.id"} {
		c := kmsg.NewDescribeConfigsResponseResourceConfig()
		doc := "The id of this node."
		c.Name, c.Value, c.ReadOnly, c.Documentation = name, &id, true, &doc
		c.Source, c.ConfigType = kmsg.ConfigSourceStaticBrokerConfig, kmsg.ConfigTypeInt
		syn := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		syn.Name, syn.Value, syn.Source = name, &id, c.Source
		c.ConfigSynonyms = append(c.ConfigSynonyms, syn)
		configs = append(configs, c)
	}
	return configs
}

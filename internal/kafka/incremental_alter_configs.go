package kafka

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/settings"
)

// IncrementalAlterConfigs (key 44), versions 0 to 1.
//
// Behaviour: sets, deletes, appends to and subtracts from single settings;
// otherwise as AlterConfigs. Append and subtract are for lists. A setting that
// is named twice is INVALID_REQUEST.

func (s *Server) incrementalAlterConfigs(rq *request, req *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	times := map[configResource]int{}
	for i := range req.Resources {
		times[configResource{req.Resources[i].ResourceType, req.Resources[i].ResourceName}]++
	}
	rq.lend()
	for i := range req.Resources {
		if rq.gone() {
			break
		}
		want := &req.Resources[i]
		find := settings.BrokerDefinition
		if want.ResourceType == kmsg.ConfigResourceTypeTopic {
			find = settings.TopicDefinition
		}
		err := errTwice
		if times[configResource{want.ResourceType, want.ResourceName}] == 1 {
			err = s.configure(rq.ctx, want.ResourceType, want.ResourceName, req.ValidateOnly, func(values map[string]string) error {
				return alterEach(values, want.Configs, find)
			})
		}
		r := kmsg.NewIncrementalAlterConfigsResponseResource()
		r.ResourceType, r.ResourceName = want.ResourceType, want.ResourceName
		r.ErrorCode, r.ErrorMessage = code(err), message(err)
		resp.Resources = append(resp.Resources, r)
	}
	return resp
}

func alterEach(values map[string]string, changes []kmsg.IncrementalAlterConfigsRequestResourceConfig, find func(string) *settings.Definition) error {
	seen := map[string]bool{}
	for i := range changes {
		c := &changes[i]
		if seen[c.Name] {
			return refuse(kerr.InvalidRequest, "setting "+c.Name+" is named twice")
		}
		seen[c.Name] = true
		if err := alterOne(values, c, find); err != nil {
			return err
		}
	}
	return nil
}

func alterOne(values map[string]string, c *kmsg.IncrementalAlterConfigsRequestResourceConfig, find func(string) *settings.Definition) error {
	if c.Op == kmsg.IncrementalAlterConfigOpDelete {
		delete(values, c.Name)
		return nil
	}
	if c.Value == nil {
		return refuse(kerr.InvalidRequest, "setting "+c.Name+" has no value")
	}
	if err := checkSettingSize(c.Name, *c.Value); err != nil {
		return err
	}
	if c.Op == kmsg.IncrementalAlterConfigOpSet {
		values[c.Name] = *c.Value
		return nil
	}
	d := find(c.Name)
	switch {
	case d == nil:
		return refuse(kerr.InvalidConfig, "unknown setting "+c.Name)
	case d.Type != settings.List:
		return refuse(kerr.InvalidConfig, c.Name+" is not a list")
	}
	old, ok := values[c.Name]
	if !ok {
		old = d.Default
	}
	if c.Op != kmsg.IncrementalAlterConfigOpAppend && c.Op != kmsg.IncrementalAlterConfigOpSubtract {
		return refuse(kerr.InvalidRequest, fmt.Sprintf("unknown operation %d", c.Op))
	}
	words, given := settings.Words(old), settings.Words(*c.Value)
	if c.Op == kmsg.IncrementalAlterConfigOpAppend {
		words = appendNew(words, given)
	} else {
		words = without(words, given)
	}
	values[c.Name] = strings.Join(words, ",")
	return nil
}

// appendNew adds the words that are not there yet, each once.
func appendNew(words, more []string) []string {
	there := once[string]{}
	for _, w := range words {
		there.first(w)
	}
	for _, w := range more {
		if there.first(w) {
			words = append(words, w)
		}
	}
	return words
}

// without leaves words out.
func without(words, less []string) []string {
	gone := once[string]{}
	for _, w := range less {
		gone.first(w)
	}
	return slices.DeleteFunc(words, gone.has)
}

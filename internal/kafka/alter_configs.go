package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/settings"
)

// AlterConfigs (key 33), versions 0 to 2.
//
// Behaviour: replaces all overrides of a topic, or all dynamic settings of the
// broker (its id or ""; the two are the same here). A text says what is wrong
// and what is allowed; the code is Kafka's: INVALID_CONFIG for topics,
// INVALID_REQUEST for bad values of the broker's settings and for those that
// are read at start. Unknown ones are INVALID_CONFIG for both (of the broker's
// Kafka stores them, for plugins). A resource that is named twice is
// INVALID_REQUEST.

func (s *Server) alterConfigs(rq *request, req *kmsg.AlterConfigsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
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
		err := errTwice
		if times[configResource{want.ResourceType, want.ResourceName}] == 1 {
			err = s.configure(rq.ctx, want.ResourceType, want.ResourceName, req.ValidateOnly, func(values map[string]string) error {
				return replaceAll(values, want.Configs)
			})
		}
		r := kmsg.NewAlterConfigsResponseResource()
		r.ResourceType, r.ResourceName = want.ResourceType, want.ResourceName
		r.ErrorCode, r.ErrorMessage = code(err), message(err)
		resp.Resources = append(resp.Resources, r)
	}
	return resp
}

// errTwice refuses resources that a request names twice: each change of the
// broker's settings is one for all topics.
var errTwice = refuse(kerr.InvalidRequest, "the request names this resource twice")

func replaceAll(values map[string]string, configs []kmsg.AlterConfigsRequestResourceConfig) error {
	clear(values)
	for _, c := range configs {
		if _, twice := values[c.Name]; twice || c.Value == nil {
			return refuse(kerr.InvalidRequest, "setting "+c.Name+" must have one value")
		}
		if err := checkSettingSize(c.Name, *c.Value); err != nil {
			return err
		}
		values[c.Name] = *c.Value
	}
	return nil
}

// settingBytesMax bounds a setting with its value, which is looked into word by
// word.
const settingBytesMax = 64 << 10

func checkSettingSize(name, value string) error {
	if n := len(name) + len(value); n > settingBytesMax {
		return refuse(kerr.InvalidConfig, fmt.Sprintf("setting %.100q and its value have %d bytes; at most %d", name, n, settingBytesMax))
	}
	return nil
}

// configure has change change a copy of the settings of a resource, checks
// them, and unless validateOnly is set makes them hold. One at a time, so that
// no change is lost.
func (s *Server) configure(ctx context.Context, kind kmsg.ConfigResourceType, name string, validateOnly bool, change func(map[string]string) error) error {
	select {
	case s.configuring <- struct{}{}:
		defer func() { <-s.configuring }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	st := s.broker.Settings()
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		if name == "" {
			return refuse(kerr.InvalidRequest, "there are no settings of all topics: those of the broker hold")
		}
		t, err := s.topic(false, name, [16]byte{})
		if err != nil {
			return s.nameError(name, err)
		}
		values := copied(t.Overrides)
		if err := change(values); err != nil {
			return err
		}
		if _, err := settings.ParseTopic(st, values); err != nil || validateOnly {
			return invalidConfig(err, kerr.InvalidConfig)
		}
		return s.broker.ConfigureTopic(ctx, t.ID, values)
	case kmsg.ConfigResourceTypeBroker:
		if err := s.checkNode(name); err != nil {
			return err
		}
		values := copied(s.broker.SettingOverrides())
		if err := change(values); err != nil {
			return err
		}
		if _, err := settings.ParseBroker(st.Static(), values); err != nil || validateOnly {
			return invalidConfig(err, kerr.InvalidRequest)
		}
		return s.broker.ConfigureBroker(ctx, values)
	}
	return errResource
}

// copied returns a map that may be changed.
func copied(m map[string]string) map[string]string {
	c := make(map[string]string, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// invalidConfig gives an error of package settings its code: bad, or
// INVALID_CONFIG if there is no such setting.
func invalidConfig(err error, bad *kerr.Error) error {
	var se *settings.Error
	if errors.As(err, &se) {
		if se.Unknown {
			bad = kerr.InvalidConfig
		}
		return refuse(bad, se.Text)
	}
	return err
}

package kafka

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/settings"
)

// AlterConfigs (key 33), versions 0 to 2.
//
// Behaviour: replaces all overrides of a topic, or all dynamic settings of the
// broker (its id or ""; the two are the same here). Settings that are read at
// start are INVALID_CONFIG, as are unknown ones and bad values, with a text
// that says what is allowed.

func (s *Server) alterConfigs(rq *request, req *kmsg.AlterConfigsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	for i := range req.Resources {
		want := &req.Resources[i]
		err := s.configure(rq.ctx, want.ResourceType, want.ResourceName, req.ValidateOnly, func(values map[string]string) error {
			clear(values)
			for _, c := range want.Configs {
				if _, twice := values[c.Name]; twice || c.Value == nil {
					return refuse(kerr.InvalidRequest, "setting "+c.Name+" must have one value")
				}
				values[c.Name] = *c.Value
			}
			return nil
		})
		r := kmsg.NewAlterConfigsResponseResource()
		r.ResourceType, r.ResourceName = want.ResourceType, want.ResourceName
		r.ErrorCode, r.ErrorMessage = code(err), message(err)
		resp.Resources = append(resp.Resources, r)
	}
	return resp
}

// configure has change change a copy of the settings of a resource, checks
// them, and unless validateOnly is set makes them hold. One at a time, so that
// no change is lost.
func (s *Server) configure(ctx context.Context, kind kmsg.ConfigResourceType, name string, validateOnly bool, change func(map[string]string) error) error {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	st := s.broker.Settings()
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		t, err := s.topic(false, name, [16]byte{})
		if err != nil {
			return s.nameError(name, err)
		}
		values := copied(t.Overrides)
		if err := change(values); err != nil {
			return err
		}
		if _, err := settings.ParseTopic(st, values); err != nil || validateOnly {
			return invalidConfig(err)
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
			return invalidConfig(err)
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

// invalidConfig gives an error of package settings its code.
func invalidConfig(err error) error {
	var se *settings.Error
	if errors.As(err, &se) {
		return refuse(kerr.InvalidConfig, se.Text)
	}
	return err
}

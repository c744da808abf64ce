package directory

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker/prekey"
	"github.com/waxwing-mq/waxwing/seal/directory"
)

// body reads the request's body, of limit bytes at most, into v.
func (r *request) body(limit int64, v any) error {
	_ = http.NewResponseController(r.w).SetReadDeadline(time.Now().Add(bodyTimeout)) // not every connection has one
	d := json.NewDecoder(http.MaxBytesReader(r.w, r.Body, limit))
	d.DisallowUnknownFields() // what a newer client asks for must not be left undone in silence
	err := d.Decode(v)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the JSON value")
		}
	}
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return refuse(http.StatusRequestEntityTooLarge, "more than %d bytes", limit)
	case err != nil:
		return refuse(http.StatusBadRequest, "the body: %v", err)
	}
	return nil
}

func (r *request) status() (any, error) {
	s, err := r.broker.PrekeyStatus(r.Context(), r.name)
	if err != nil {
		return nil, err
	}
	return statusJSON(r.name, s), nil
}

func statusJSON(name string, s prekey.Status) directory.Status {
	out := directory.Status{
		Name: name, RegistrationID: s.RegistrationID, SignedID: s.Signed.ID, LastResortID: s.LastResort.ID,
		OneTime: s.OneTime, OneTimeKEM: s.OneTimeKEM, OneTimeIDMax: s.OneTimeMax, OneTimeKEMIDMax: s.OneTimeKEMMax,
		Certificate: s.Certificate, Signed: (*directory.SignedKey)(&s.Signed),
	}
	if s.LastResort.ID != 0 {
		out.LastResort = (*directory.SignedKey)(&s.LastResort)
	}
	return out
}

// publish holds a place from before the body is read until it is stored.
func (h *Handler) publish(r *request) (any, error) {
	select {
	case h.publishing <- struct{}{}:
		defer func() { <-h.publishing }()
	case <-r.Context().Done():
		return nil, refuse(http.StatusServiceUnavailable, "too many publications at once")
	}
	var in directory.Publication
	if err := r.body(publicationBytesMax, &in); err != nil {
		return nil, err
	}
	p := publication(&in)
	p.Account = account(r)
	s, err := r.broker.PublishPrekeys(r.Context(), r.name, &p)
	if err != nil {
		return nil, err
	}
	h.cfg.Logger.Info("prekeys were published", "identity", r.name, "by", r.user, "one-time", s.OneTime, "one-time KEM", s.OneTimeKEM)
	return statusJSON(r.name, s), nil
}

// publication is the same in the broker's terms. It shares the bytes.
func publication(in *directory.Publication) prekey.Publication {
	p := prekey.Publication{RegistrationID: in.RegistrationID, Certificate: in.Certificate, Replace: in.Replace}
	if in.Signed != nil {
		p.Signed = prekey.SignedKey(*in.Signed)
	}
	if in.LastResort != nil {
		p.LastResort = prekey.SignedKey(*in.LastResort)
	}
	for _, k := range in.OneTime {
		p.OneTime = append(p.OneTime, prekey.Key(k))
	}
	for _, k := range in.OneTimeKEM {
		p.OneTimeKEM = append(p.OneTimeKEM, prekey.SignedKey(k))
	}
	return p
}

func (h *Handler) delete(r *request) (any, error) {
	if err := r.broker.DeletePrekeys(r.Context(), r.name); err != nil {
		return nil, err
	}
	h.cfg.Logger.Info("an identity was deleted", "identity", r.name, "by", r.user)
	return nil, nil
}

func (r *request) take() (any, error) {
	b, err := r.broker.TakePrekeys(r.Context(), r.user, r.name)
	if err != nil {
		return nil, err
	}
	out := directory.Bundle{
		Name: r.name, RegistrationID: b.RegistrationID, Certificate: b.Certificate,
		Signed: directory.SignedKey(b.Signed), LastResort: b.LastResort,
	}
	if b.OneTime.ID != 0 {
		out.OneTime = (*directory.Key)(&b.OneTime)
	}
	if b.KEM.ID != 0 {
		out.KEM = (*directory.SignedKey)(&b.KEM)
	}
	return out, nil
}

func (r *request) marks() (any, error) {
	marks, err := r.broker.Marks(r.Context(), r.name)
	if err != nil {
		return nil, err
	}
	return directory.Marks{Marks: marks}, nil
}

func (r *request) raise() (any, error) {
	var in directory.Marks
	if err := r.body(marksBytesMax, &in); err != nil {
		return nil, err
	}
	marks, err := r.broker.RaiseMarks(r.Context(), r.name, in.Marks)
	if err != nil {
		return nil, err
	}
	return directory.Marks{Marks: marks}, nil
}

package broker

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/waxwing-mq/waxwing/internal/broker/topic"
)

// clusterIDs is how a cluster's id, which is stored as 16 bytes, is written.
var clusterIDs = base64.RawURLEncoding

// ParseClusterID reads a cluster's id: 16 bytes, not all of them 0, in 22
// characters of URL-safe base64, as Kafka's tools make them.
func ParseClusterID(s string) (id [16]byte, err error) {
	b, err := clusterIDs.DecodeString(s)
	if near := clusterIDs.EncodeToString(b); err == nil && len(b) == len(id) && near != s {
		return id, fmt.Errorf("%.100q says more than 16 bytes with its last character; near to it is %s", s, near)
	}
	if err != nil || len(b) != len(id) || [16]byte(b) == id {
		return id, fmt.Errorf("%.100q is not 16 bytes, other than zeros, as 22 characters of URL-safe base64", s)
	}
	return [16]byte(b), nil
}

// OtherClusterError says that the data belongs to another cluster than
// Config.ClusterID.
type OtherClusterError struct{ Stored, Given string }

func (e *OtherClusterError) Error() string {
	return fmt.Sprintf("the data is of cluster %s, not %s", e.Stored, e.Given)
}

// checkCluster refuses data that was founded for another cluster. The home
// shard is recovered.
func (b *Broker) checkCluster() error {
	stored := b.shards[0].d.catalog.Cluster
	if b.cfg.ClusterID == "" || stored == ([16]byte{}) {
		return nil
	}
	given, err := ParseClusterID(b.cfg.ClusterID)
	if err == nil && given != stored {
		err = &OtherClusterError{Stored: clusterIDs.EncodeToString(stored[:]), Given: b.cfg.ClusterID}
	}
	return err
}

// found gives a new cluster its id.
func (b *Broker) found(ctx context.Context) error {
	home := b.shards[0]
	fresh := b.newID
	if b.cfg.ClusterID != "" {
		given, err := ParseClusterID(b.cfg.ClusterID)
		if err != nil {
			return err
		}
		fresh = func() topic.ID { return given }
	}
	id, err := call(ctx, home, func(int64) ([16]byte, error) {
		if home.d.catalog.Cluster == ([16]byte{}) {
			e := &topic.Founded{Cluster: fresh(), Shards: uint32(len(b.shards))}
			home.log(typeFounded, e, nil, nil)
		}
		return home.d.catalog.Cluster, nil
	})
	b.clusterID = clusterIDs.EncodeToString(id[:])
	return err
}

package kafka

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/group"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// The one place where kinds of failure become Kafka's error codes.

// brokerCodes are the codes of the broker's kinds.
var brokerCodes = map[broker.Kind]*kerr.Error{
	broker.Internal:             kerr.UnknownServerError,
	broker.UnknownTopic:         kerr.UnknownTopicOrPartition,
	broker.TopicExists:          kerr.TopicAlreadyExists,
	broker.InvalidTopic:         kerr.InvalidTopicException,
	broker.InvalidPartitions:    kerr.InvalidPartitions,
	broker.InvalidReplicas:      kerr.InvalidReplicationFactor,
	broker.InvalidAssignment:    kerr.InvalidReplicaAssignment,
	broker.InvalidConfig:        kerr.InvalidConfig,
	broker.InvalidRequest:       kerr.InvalidRequest,
	broker.OutOfOrderSequence:   kerr.OutOfOrderSequenceNumber,
	broker.InvalidProducerEpoch: kerr.InvalidProducerEpoch,
	broker.OffsetOutOfRange:     kerr.OffsetOutOfRange,
	broker.RecordTooLarge:       kerr.MessageTooLarge,
	broker.StorageFull:          kerr.KafkaStorageError,
	// A client tries these again, on whatever answers then.
	broker.Stopping: kerr.NotLeaderForPartition,
	broker.Failed:   kerr.KafkaStorageError,
	broker.Damaged:  kerr.KafkaStorageError,
}

// groupCodes are the codes of the kinds of consumer groups.
var groupCodes = map[group.Kind]*kerr.Error{
	group.UnknownMember:          kerr.UnknownMemberID,
	group.IllegalGeneration:      kerr.IllegalGeneration,
	group.RebalanceInProgress:    kerr.RebalanceInProgress,
	group.FencedInstance:         kerr.FencedInstanceID,
	group.MemberIDRequired:       kerr.MemberIDRequired,
	group.InconsistentProtocol:   kerr.InconsistentGroupProtocol,
	group.InvalidSessionTimeout:  kerr.InvalidSessionTimeout,
	group.InvalidGroupID:         kerr.InvalidGroupID,
	group.GroupMaxSize:           kerr.GroupMaxSizeReached,
	group.NonEmptyGroup:          kerr.NonEmptyGroup,
	group.GroupIDNotFound:        kerr.GroupIDNotFound,
	group.OffsetMetadataTooLarge: kerr.OffsetMetadataTooLarge,
	group.GroupSubscribedToTopic: kerr.GroupSubscribedToTopic,
	group.GroupTooLarge:          kerr.PolicyViolation,
	group.TooManyGroups:          kerr.PolicyViolation,
}

// recordCodes are the codes of what can be wrong with a record batch.
var recordCodes = map[record.Kind]*kerr.Error{
	record.Corrupt:                kerr.CorruptMessage,
	record.InvalidRecord:          kerr.InvalidRecord,
	record.InvalidTimestamp:       kerr.InvalidTimestamp,
	record.UnsupportedCompression: kerr.UnsupportedCompressionType,
	record.UnsupportedMagic:       kerr.InvalidRecord, // as Kafka 4 does
	record.TooLarge:               kerr.MessageTooLarge,
}

// code is the error code of what the broker or a validation returned; 0 for nil.
func code(err error) int16 {
	if err == nil {
		return 0
	}
	var be *broker.Error
	if errors.As(err, &be) {
		if k := brokerCodes[be.Kind]; k != nil {
			return k.Code
		}
	}
	if k := recordCodes[record.KindOf(err)]; k != nil {
		return k.Code
	}
	var ke *kerr.Error
	if errors.As(err, &ke) {
		return ke.Code
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return kerr.RequestTimedOut.Code
	}
	return kerr.UnknownServerError.Code
}

// groupCode is the error code of a consumer group's kind; 0 for success.
func groupCode(k group.Kind) int16 {
	if k == group.None {
		return 0
	}
	if e := groupCodes[k]; e != nil {
		return e.Code
	}
	return kerr.UnknownServerError.Code
}

// coordinatorCode is code, for requests to a group's coordinator: clients look
// for the coordinator again when the broker stops.
func coordinatorCode(err error) int16 {
	var be *broker.Error
	if errors.As(err, &be) && (be.Kind == broker.Stopping || be.Kind == broker.Failed) {
		return kerr.CoordinatorNotAvailable.Code
	}
	return code(err)
}

// message is the text that goes with a code; nil for success.
func message(err error) *string {
	if err == nil {
		return nil
	}
	text := err.Error()
	if ke, ok := err.(*kerr.Error); ok {
		text = ke.Description
	}
	return &text
}

// errNoRoom answers for what does not fit the memory of responses now. Clients
// try again, without looking for another coordinator.
var errNoRoom = refuse(kerr.CoordinatorLoadInProgress, "too many large responses are under way")

// refusal is an error with a code and a text of its own.
type refusal struct {
	code *kerr.Error
	text string
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.code }

func refuse(code *kerr.Error, text string) error { return &refusal{code, text} }

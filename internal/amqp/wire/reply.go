package wire

import "unicode/utf8"

// ReplyCode is the number that a close or a return carries (AMQP 0-9-1,
// section 1.1, "Constants", with 311 to 313 as RabbitMQ has them).
type ReplyCode uint16

// The reply codes.
const (
	ReplySuccess ReplyCode = 200

	ContentTooLarge    ReplyCode = 311
	NoRoute            ReplyCode = 312
	NoConsumers        ReplyCode = 313
	AccessRefused      ReplyCode = 403
	NotFound           ReplyCode = 404
	ResourceLocked     ReplyCode = 405
	PreconditionFailed ReplyCode = 406

	ConnectionForced ReplyCode = 320
	InvalidPath      ReplyCode = 402
	FrameError       ReplyCode = 501
	SyntaxError      ReplyCode = 502
	CommandInvalid   ReplyCode = 503
	ChannelError     ReplyCode = 504
	UnexpectedFrame  ReplyCode = 505
	ResourceError    ReplyCode = 506
	NotAllowed       ReplyCode = 530
	NotImplemented   ReplyCode = 540
	InternalError    ReplyCode = 541
)

// Hard reports whether the code ends the connection; the others end a channel
// at most.
func (c ReplyCode) Hard() bool {
	switch c {
	case ConnectionForced, InvalidPath:
		return true
	}
	return c >= 500
}

// String is the code's name as it begins a reply text: NOT_FOUND.
func (c ReplyCode) String() string {
	switch c {
	case ReplySuccess:
		return "REPLY_SUCCESS"
	case ContentTooLarge:
		return "CONTENT_TOO_LARGE"
	case NoRoute:
		return "NO_ROUTE"
	case NoConsumers:
		return "NO_CONSUMERS"
	case ConnectionForced:
		return "CONNECTION_FORCED"
	case InvalidPath:
		return "INVALID_PATH"
	case AccessRefused:
		return "ACCESS_REFUSED"
	case NotFound:
		return "NOT_FOUND"
	case ResourceLocked:
		return "RESOURCE_LOCKED"
	case PreconditionFailed:
		return "PRECONDITION_FAILED"
	case FrameError:
		return "FRAME_ERROR"
	case SyntaxError:
		return "SYNTAX_ERROR"
	case CommandInvalid:
		return "COMMAND_INVALID"
	case ChannelError:
		return "CHANNEL_ERROR"
	case UnexpectedFrame:
		return "UNEXPECTED_FRAME"
	case ResourceError:
		return "RESOURCE_ERROR"
	case NotAllowed:
		return "NOT_ALLOWED"
	case NotImplemented:
		return "NOT_IMPLEMENTED"
	case InternalError:
		return "INTERNAL_ERROR"
	}
	return "UNKNOWN"
}

// ReplyText is what a close says to people: the code's name and the reason. A
// text that does not fit into a short string ends in three dots instead, cut
// before a character, never inside one.
func ReplyText(c ReplyCode, reason string) string {
	text := c.String() + " - " + reason
	if len(text) <= ShortStrMax {
		return text
	}
	end := ShortStrMax - len("...")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "..."
}

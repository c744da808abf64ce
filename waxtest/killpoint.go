//go:build killpoints

package waxtest

import "github.com/waxwing-mq/waxwing/internal/killpoint"

// The places, sides and faults of the SDK's kill points.
type (
	Point = killpoint.Point // a place, such as "outbox-send"; Points lists them
	Phase = killpoint.Phase // "before" or "after" the step of that name
	Mode  = killpoint.Mode  // "kill", "error", "hang", "stop"
)

// Points are the names of all places, in the order in which a message passes them.
var Points = killpoint.Points

// Arm has the nth passing from now (the next is 1) of a point do what mode says,
// once, in this process. Another process takes the same from its environment:
// WAXWING_KILLPOINTS="outbox-send:after:3:kill,…", and writes what it did to the
// file that WAXWING_KILLPOINT_LOG names.
func Arm(p Point, ph Phase, nth int, m Mode) { killpoint.Arm(p, ph, nth, m) }

// Disarm disarms everything.
func Disarm() { killpoint.Disarm() }

// Hits is how often a point was passed in this process.
func Hits(p Point, ph Phase) int { return killpoint.Hits(p, ph) }

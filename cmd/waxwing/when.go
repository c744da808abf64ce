package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseWhen reads a point in time: RFC 3339, a date (UTC), milliseconds since
// 1970, or a duration before now such as -90m.
func parseWhen(s string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.UTC); err == nil {
			return t, nil
		}
	}
	if millis, err := strconv.ParseInt(s, 10, 64); err == nil && millis >= 0 {
		return time.UnixMilli(millis), nil
	}
	if d, err := time.ParseDuration(s); err == nil && strings.HasPrefix(s, "-") {
		return now.Add(d), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time such as 2026-01-02T03:04:05Z, 2026-01-02, 1767323045000 or -90m", s)
}

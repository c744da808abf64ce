//go:build killpoints

package waxtest_test

import (
	"context"
	"fmt"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// The answer of the handler's commit is lost once; the message comes again and is known.
func ExampleArm() {
	ctx := context.Background()
	c, done := newConsumer(ctx)
	defer done()
	defer waxtest.Disarm()
	waxtest.Arm("handler-commit", "after", 1, "error")
	d := &bus.Delivery{Message: c.msgs[0]}
	fmt.Println(c.Process(ctx, d) != nil)
	fmt.Println(c.Process(ctx, d))
	effects, err := c.Effects(ctx)
	fmt.Println(len(effects), err, waxtest.Hits("handler-commit", "after"))
	fmt.Println(len(waxtest.Points) > 10)
	// Output:
	// true
	// <nil>
	// 1 <nil> 1
	// true
}

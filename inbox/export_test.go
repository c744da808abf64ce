package inbox

import "time"

// BatchTime is for how long a batch takes further messages in. Tests that say what goes
// together must not depend on how busy the machine is.
func BatchTime(d time.Duration) Option { return func(o *options) { o.batchTime = d } }

package amqpdiff

// Confirm carries out a script quickly, and again at a steady pace if that
// showed a difference that is not intended: what counts is seen both times.
func (p *Pair) Confirm(script []Step) (*Found, error) {
	found, err := p.Run(script, Quick)
	if err != nil || found == nil || found.Known != "" {
		return found, err
	}
	return p.Run(script, Steady)
}

// Shrink takes steps away from a script that shows a difference, as long as it
// shows one, within so many tries. It gives the difference that is left; nil if
// there was none.
func (p *Pair) Shrink(script []Step, tries int) ([]Step, *Found, error) {
	found, err := p.Confirm(script)
	if err != nil || found == nil {
		return script, found, err
	}
	for changed := true; changed; {
		changed = false
		script = script[:min(found.Step+1, len(script))]
		for size := max(len(script)/2, 1); size > 0; size /= 2 {
			for at := len(script) - size; at >= 0; at -= size {
				if tries--; tries < 0 {
					return script, found, nil
				}
				shorter := append(append([]Step(nil), script[:at]...), script[at+size:]...)
				f, err := p.Confirm(shorter)
				if err != nil {
					return script, found, err
				}
				if f != nil && f.Known == "" {
					script, found, changed = shorter, f, true
					at = min(at, len(script))
				}
			}
		}
	}
	return script, found, nil
}

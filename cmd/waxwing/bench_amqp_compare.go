package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// amqpComparison is two brokers measured in turn: A B B A.
type amqpComparison struct {
	A      []*amqpResult `json:"a"` // --url
	B      []*amqpResult `json:"b"` // --compare
	Ratios amqpRatios    `json:"ratios"`
}

// amqpRatios are A's means over B's: of a rate, more is better, of a latency,
// less. 0 stands for what was not measured.
type amqpRatios struct {
	PublishRate float64 `json:"publishRate"`
	PublishP50  float64 `json:"publishP50"`
	PublishP99  float64 `json:"publishP99"`
	ConsumeRate float64 `json:"consumeRate,omitempty"`
	EndToEndP50 float64 `json:"endToEndP50,omitempty"`
	EndToEndP99 float64 `json:"endToEndP99,omitempty"`
}

// runCompare measures both brokers and prints what they did.
func (b *benchAMQP) runCompare(cmd *cobra.Command) error {
	other := amqpConnection{url: b.compare, timeout: b.conn.timeout}
	if _, err := other.check(); err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), "--url", "--compare"))
	}
	var c amqpComparison
	var verdicts []error
	for i, url := range []string{b.conn.url, b.compare, b.compare, b.conn.url} {
		side := &c.A
		if i == 1 || i == 2 {
			side = &c.B
		}
		result, err := b.measure(cmd, url)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "run %d of 4: %s at %s published %s\n", i+1, result.Broker, result.Address, result.Publish.amqpRate)
		*side = append(*side, result)
		if verdict := result.verdict(); verdict != nil {
			verdicts = append(verdicts, fmt.Errorf("run %d, %s: %w", i+1, result.Address, verdict))
		}
		if result.Interrupted {
			return errInterrupted
		}
	}
	c.Ratios = c.ratios()
	if b.json {
		verdicts = append(verdicts, printJSON(cmd.OutOrStdout(), c))
	} else {
		verdicts = append(verdicts, c.print(cmd.OutOrStdout()))
	}
	return errors.Join(verdicts...)
}

// amqpFigures are the numbers that are compared.
var amqpFigures = []struct {
	name  string
	of    func(*amqpResult) float64 // 0: not measured
	ratio func(*amqpRatios) *float64
	text  func(float64) string
}{
	{"published", func(r *amqpResult) float64 { return r.Publish.MessagesPerSecond }, func(r *amqpRatios) *float64 { return &r.PublishRate }, perSecond},
	{"confirm p50", func(r *amqpResult) float64 { return quantileOf(r.Publish.Latency, 50) }, func(r *amqpRatios) *float64 { return &r.PublishP50 }, millis},
	{"confirm p99", func(r *amqpResult) float64 { return quantileOf(r.Publish.Latency, 99) }, func(r *amqpRatios) *float64 { return &r.PublishP99 }, millis},
	{"consumed", func(r *amqpResult) float64 { return rateOf(r.Consume) }, func(r *amqpRatios) *float64 { return &r.ConsumeRate }, perSecond},
	{"end to end p50", func(r *amqpResult) float64 { return quantileOf(r.EndToEnd, 50) }, func(r *amqpRatios) *float64 { return &r.EndToEndP50 }, millis},
	{"end to end p99", func(r *amqpResult) float64 { return quantileOf(r.EndToEnd, 99) }, func(r *amqpRatios) *float64 { return &r.EndToEndP99 }, millis},
}

func perSecond(v float64) string { return groupDigits(int64(v)) + "/s" }
func millis(v float64) string    { return fmt.Sprintf("%.2f ms", v) }

func rateOf(r *amqpRate) float64 {
	if r == nil {
		return 0
	}
	return r.MessagesPerSecond
}

func quantileOf(l *latencyResult, percent int) float64 {
	switch {
	case l == nil:
		return 0
	case percent == 50:
		return l.P50
	}
	return l.P99
}

// mean is the mean of a figure over runs.
func mean(runs []*amqpResult, of func(*amqpResult) float64) float64 {
	sum := 0.0
	for _, r := range runs {
		sum += of(r)
	}
	return sum / float64(len(runs))
}

// ratios compares the means.
func (c *amqpComparison) ratios() (out amqpRatios) {
	for _, f := range amqpFigures {
		if b := mean(c.B, f.of); b > 0 {
			*f.ratio(&out) = math.Round(1000*mean(c.A, f.of)/b) / 1000
		}
	}
	return out
}

// print writes the comparison for people: a line for each figure, with all
// runs.
func (c *amqpComparison) print(w io.Writer) error {
	fmt.Fprintf(w, "A  %s at %s\nB  %s at %s\n%s; %s\n\n", c.A[0].Broker, c.A[0].Address, c.B[0].Broker, c.B[0].Address,
		c.A[0].publishing(), count(c.A[0].Queues, "queue")+", "+c.A[0].queueKind())
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "\tA\tB\tB\tA\tA / B")
	for _, f := range amqpFigures {
		ratio := *f.ratio(&c.Ratios)
		if ratio == 0 {
			continue
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%.2f\n", f.name,
			f.text(f.of(c.A[0])), f.text(f.of(c.B[0])), f.text(f.of(c.B[1])), f.text(f.of(c.A[1])), ratio)
	}
	return tw.Flush()
}

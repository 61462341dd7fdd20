// Package report keeps the figures of a run and prints them: as tables for a
// reader, and line by line for benchstat.
package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// A Figure is what one thing measured, once in every round.
type Figure []float64

// One returns the figure of something that was measured once, or counted.
func One(v float64) Figure { return Figure{v} }

// Median returns the value that as many are below as above; NaN without values.
func (f Figure) Median() float64 {
	if len(f) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(f))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// Over returns the ratios of f to base, round by round.
func (f Figure) Over(base Figure) Figure {
	return f.with(base, func(a, b float64) float64 { return a / b })
}

// Minus returns the differences of f and base, round by round.
func (f Figure) Minus(base Figure) Figure {
	return f.with(base, func(a, b float64) float64 { return a - b })
}

func (f Figure) with(base Figure, op func(a, b float64) float64) Figure {
	var out Figure
	for i := range min(len(f), len(base)) {
		out = append(out, op(f[i], base[i]))
	}
	return out
}

// String returns the median and, where there were several rounds, the least
// and the greatest value, such as "1.01 (1.00 to 1.02)". Without a value it is
// a dash.
func (f Figure) String() string {
	switch len(f) {
	case 0:
		return "–"
	case 1:
		return number(f[0])
	}
	return fmt.Sprintf("%s (%s to %s)", number(f.Median()), number(slices.Min(f)), number(slices.Max(f)))
}

// number writes three digits that mean something, and of large numbers all
// before the point.
func number(v float64) string {
	switch size := math.Abs(v); {
	case v == math.Trunc(v) && size < 1e6:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case size >= 1000:
		return strconv.FormatFloat(math.Round(v/10)*10, 'f', 0, 64)
	case size >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case size >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case size >= 0.1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// A Goal is what the median of a figure is to be: at most or at least a value.
// The zero value is no goal.
type Goal struct {
	sign  string
	value float64
}

// AtMost returns the goal of v or less.
func AtMost(v float64) Goal { return Goal{"≤", v} }

// AtLeast returns the goal of v or more.
func AtLeast(v float64) Goal { return Goal{"≥", v} }

// String returns such as "≤ 1.02", or "" for no goal.
func (g Goal) String() string {
	if g.sign == "" {
		return ""
	}
	return g.sign + " " + number(g.value)
}

// Verdict returns "met" or "missed", or "" for no goal.
func (g Goal) Verdict(f Figure) string {
	met := f.Median() <= g.value
	switch g.sign {
	case "":
		return ""
	case "≥":
		met = f.Median() >= g.value
	}
	if met {
		return "met"
	}
	return "missed"
}

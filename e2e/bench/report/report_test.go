package report

import (
	"math"
	"strings"
	"testing"
)

func TestFigure(t *testing.T) {
	for _, tc := range []struct {
		name   string
		figure Figure
		median float64
		text   string
	}{
		{"none", nil, math.NaN(), "–"},
		{"one", One(3), 3, "3"},
		{"odd", Figure{1.031, 1.004, 1.01}, 1.01, "1.01 (1.00 to 1.03)"},
		{"even", Figure{4, 1, 2, 3}, 2.5, "2.50 (1 to 4)"},
		{"large", Figure{34592.4, 27451, 38452}, 34592.4, "34590 (27451 to 38452)"},
		{"small", One(0.0456), 0.0456, "0.046"},
		{"below zero", Figure{-1.25, 12.34}, 5.545, "5.54 (-1.25 to 12.3)"},
		{"hundreds", One(123.4), 123.4, "123"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if m := tc.figure.Median(); m != tc.median && !(math.IsNaN(m) && math.IsNaN(tc.median)) {
				t.Errorf("median %v, want %v", m, tc.median)
			}
			if s := tc.figure.String(); s != tc.text {
				t.Errorf("%q, want %q", s, tc.text)
			}
		})
	}
}

func TestRoundByRound(t *testing.T) {
	a, base := Figure{2, 9, 8}, Figure{1, 3, 4}
	if got, want := a.Over(base).String(), "2 (2 to 3)"; got != want {
		t.Errorf("ratio %s, want %s", got, want)
	}
	if got, want := a.Minus(base).String(), "4 (1 to 6)"; got != want {
		t.Errorf("difference %s, want %s", got, want)
	}
}

func TestGoal(t *testing.T) {
	for _, tc := range []struct {
		goal    Goal
		figure  Figure
		text    string
		verdict string
	}{
		{Goal{}, One(1), "", ""},
		{AtMost(1.02), One(1.02), "≤ 1.02", "met"},
		{AtMost(1.02), One(1.03), "≤ 1.02", "missed"},
		{AtMost(1.02), Figure{1, 1, 9}, "≤ 1.02", "met"},
		{AtMost(1), nil, "≤ 1", "missed"},
		{AtLeast(5), One(5), "≥ 5", "met"},
		{AtLeast(5), One(4.9), "≥ 5", "missed"},
		{AtLeast(5), nil, "≥ 5", "missed"},
	} {
		if s, v := tc.goal.String(), tc.goal.Verdict(tc.figure); s != tc.text || v != tc.verdict {
			t.Errorf("%v: %q, %q, want %q, %q", tc.figure, s, v, tc.text, tc.verdict)
		}
	}
}

func sample() *Report {
	var r Report
	r.Begin("A pull, far", "Nothing", "Size")
	r.Add("Size", Row{Name: "executable", Of: []Column{{"tlogistry", One(21)}}})
	r.Add("A pull, far", Row{
		Name: "GET, 1 connection", Unit: "x direct", Goal: AtMost(1.02),
		Of: []Column{{"tlogistry", Figure{1.01, 1.03}}, {"nginx", One(1)}, {"direct, µs", One(20)}},
	})
	r.Add("A pull, far", Row{Name: "HEAD", Unit: "x direct", Of: []Column{{"tlogistry", One(1)}}})
	return &r
}

func TestMarkdown(t *testing.T) {
	const want = `
### A pull, far

|  | tlogistry | nginx | direct, µs | goal |  |
|---|---|---|---|---|---|
| GET, 1 connection, x direct | 1.02 (1.01 to 1.03) | 1 | 20 | ≤ 1.02 | met |
| HEAD, x direct | 1 | – | – |  |  |

### Size

|  | tlogistry |
|---|---|
| executable | 21 |
`
	var b strings.Builder
	if err := sample().Markdown(&b); err != nil || b.String() != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, &b, want)
	}
}

func TestBenchmarks(t *testing.T) {
	var b strings.Builder
	if err := sample().Benchmarks(&b); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "Benchmark") {
			name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			lines = append(lines, name[:strings.LastIndex(name, "-")]+" "+rest)
		}
	}
	want := []string{
		"BenchmarkAPullFar/GET1Connection/of=Tlogistry 1 1.01 x-direct",
		"BenchmarkAPullFar/GET1Connection/of=Tlogistry 1 1.03 x-direct",
		"BenchmarkAPullFar/GET1Connection/of=Nginx 1 1 x-direct",
		"BenchmarkAPullFar/GET1Connection/of=Direct 1 20 µs",
		"BenchmarkAPullFar/HEAD/of=Tlogistry 1 1 x-direct",
		"BenchmarkSize/Executable/of=Tlogistry 1 21 count",
	}
	if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

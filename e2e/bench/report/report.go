package report

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
)

// A Row is one line of a table.
type Row struct {
	Name string
	Unit string   // such as "ms"; for benchstat, and beside the name for a reader
	Of   []Column // the first is what the goal is about
	Goal Goal
}

// A Column is a figure and whose it is. Behind the last comma of its name is its
// unit, if that is not the row's.
type Column struct {
	Name   string
	Figure Figure
}

// A table is rows with the same columns.
type table struct {
	title string
	rows  []Row
}

// A Report is the tables of a run, in the order in which they were begun. It is
// safe for concurrent use.
type Report struct {
	mu     sync.Mutex
	tables []*table
}

// Begin begins tables with these titles, in this order. One that gets no row
// is not printed.
func (r *Report) Begin(titles ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, title := range titles {
		r.begin(title)
	}
}

// Add puts a row at the end of the table with the title, which it begins if
// there is none.
func (r *Report) Add(title string, row Row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.begin(title)
	t.rows = append(t.rows, row)
}

// begin returns the table with the title.
func (r *Report) begin(title string) *table {
	for _, t := range r.tables {
		if t.title == title {
			return t
		}
	}
	t := &table{title: title}
	r.tables = append(r.tables, t)
	return t
}

// Markdown writes the tables for a reader.
func (r *Report) Markdown(w io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, t := range r.tables {
		if len(t.rows) > 0 {
			t.markdown(&b)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *table) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n### %s\n\n", t.title)
	columns, goals := t.columns()
	head := append([]string{""}, columns...)
	if goals {
		head = append(head, "goal", "")
	}
	line(b, head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, row := range t.rows {
		cells := []string{row.Name}
		if row.Unit != "" {
			cells[0] += ", " + row.Unit
		}
		for _, name := range columns {
			cells = append(cells, row.figure(name).String())
		}
		if goals {
			cells = append(cells, row.Goal.String(), row.Goal.Verdict(row.Of[0].Figure))
		}
		line(b, cells)
	}
}

func line(b *strings.Builder, cells []string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// columns returns the names of the table's columns, in the order in which they
// come up, and whether any row has a goal.
func (t *table) columns() (names []string, goals bool) {
	seen := make(map[string]bool)
	for _, row := range t.rows {
		goals = goals || row.Goal != Goal{}
		for _, c := range row.Of {
			if !seen[c.Name] {
				seen[c.Name] = true
				names = append(names, c.Name)
			}
		}
	}
	return names, goals
}

func (r Row) figure(name string) Figure {
	for _, c := range r.Of {
		if c.Name == name {
			return c.Figure
		}
	}
	return nil
}

// Benchmarks writes every value of every figure on a line of its own, in the
// Go benchmark format (https://go.dev/design/14313-benchmark-format), so that
// benchstat can compare two runs and say whether they differ.
func (r *Report) Benchmarks(w io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "goos: %s\ngoarch: %s\n", runtime.GOOS, runtime.GOARCH)
	for _, t := range r.tables {
		for _, row := range t.rows {
			for _, c := range row.Of {
				of, in := c.Name, row.Unit
				if i := strings.LastIndex(of, ", "); i >= 0 {
					of, in = of[:i], of[i+2:]
				}
				name := fmt.Sprintf("Benchmark%s/%s/of=%s-%d", word(t.title), word(row.Name), word(of), runtime.GOMAXPROCS(0))
				for _, v := range c.Figure {
					fmt.Fprintf(&b, "%s 1 %g %s\n", name, v, unit(in))
				}
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// word makes one word of a text: what is neither letter nor digit separates.
func word(s string) string {
	var b strings.Builder
	for _, part := range strings.FieldsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

func unit(s string) string {
	if s == "" {
		return "count"
	}
	return strings.ReplaceAll(s, " ", "-")
}

package browser

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Go goes to an address and returns the status of the answer that it ended at.
func (p *Page) Go(url string) (int64, error) {
	resp, err := chromedp.RunResponse(p.ctx, chromedp.Navigate(url))
	if err != nil {
		return 0, fmt.Errorf("go to %s: %w", url, err)
	}
	return resp.Status, nil
}

// Enter types into what has the focus, presses Enter, and returns the status of
// the answer that this led to.
func (p *Page) Enter(text string) (int64, error) {
	if err := p.Press(text); err != nil {
		return 0, err
	}
	resp, err := chromedp.RunResponse(p.ctx, chromedp.KeyEvent(kb.Enter))
	if err != nil {
		return 0, fmt.Errorf("enter: %w", err)
	}
	return resp.Status, nil
}

// Press presses keys, one for each character.
func (p *Page) Press(keys string) error {
	return chromedp.Do(p.ctx, chromedp.KeyEvent(keys))
}

// Location returns the address of what is shown.
func (p *Page) Location() (string, error) {
	return chromedp.Run(p.ctx, chromedp.Location())
}

// Screenshot writes a picture of the whole page to a PNG file.
func (p *Page) Screenshot(file string) error {
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		return fmt.Errorf("screenshot: %w", err)
	}
	return os.WriteFile(file, picture, 0o644)
}

// Text returns the page's text as it is shown.
func (p *Page) Text() (string, error) {
	return chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.body.innerText`))
}

// Overflow returns by how many pixels the page is wider than its window.
func (p *Page) Overflow() (int, error) {
	return chromedp.Run(p.ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - document.documentElement.clientWidth`))
}

// unaligned lists the values that do not stand below the first of their list.
const unaligned = `[...document.querySelectorAll("dd")].filter(d =>
	d.getBoundingClientRect().left !== d.parentElement.querySelector("dd").getBoundingClientRect().left).map(d => d.innerText)`

// Unaligned returns the values of description lists that do not stand below
// each other: one may stand where a name should.
func (p *Page) Unaligned() ([]string, error) {
	return chromedp.Run(p.ctx, chromedp.Evaluate[[]string](unaligned))
}

// focused describes what has the focus: its name, text, and whether that shows.
const focused = `(() => {
	const e = document.activeElement;
	if (!e || e === document.body) return "";
	const style = getComputedStyle(e);
	const shown = e.getBoundingClientRect().left >= 0 && style.outlineStyle !== "none";
	const text = e.getAttribute("aria-labelledby") ? document.getElementById(e.getAttribute("aria-labelledby")).innerText
		: e.labels && e.labels.length ? e.labels[0].innerText : e.innerText;
	return e.localName + " " + text.trim().slice(0, 60) + (shown ? "" : " (focus does not show)");
})()`

// Walk presses Tab until the focus has left the page or has gone to most
// elements, and returns what it went to.
func (p *Page) Walk(most int) ([]string, error) {
	var list []string
	for range most {
		if err := chromedp.Do(p.ctx, chromedp.KeyEvent(kb.Tab)); err != nil {
			return list, err
		}
		at, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](focused))
		if err != nil {
			return list, err
		}
		if at == "" {
			break
		}
		list = append(list, at)
	}
	return list, nil
}

// A finding is one rule's result for some elements, as axe-core gives it.
type finding struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML           string `json:"html"`
		FailureSummary string `json:"failureSummary"`
	}
}

// A verdict is axe-core's on a page.
type verdict struct {
	Violations []finding
	Incomplete []finding
	Passes     int
}

const runAxe = `axe.run(document).then(r => ({Violations: r.violations, Incomplete: r.incomplete, Passes: r.passes.length}))`

// Violations runs axe-core on the page, with all its rules, and returns what it
// finds, and what it cannot decide and a person would have to. It is run
// through the developer tools, which a page's policy does not concern.
func (p *Page) Violations() ([]string, error) {
	if _, err := chromedp.Run(p.ctx, chromedp.Evaluate[chromedp.Void](p.axe+";({})")); err != nil {
		return nil, fmt.Errorf("axe: %w", err)
	}
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[verdict](runAxe, chromedp.EvalAwaitPromise, chromedp.EvalAsValue))
	if err != nil {
		return nil, fmt.Errorf("axe: %w", err)
	}
	if v.Passes == 0 {
		return nil, errors.New("axe: it looked at nothing")
	}
	var list []string
	for _, f := range append(v.Violations, v.Incomplete...) {
		for _, n := range f.Nodes {
			list = append(list, fmt.Sprintf("%s (%s): %s: %s: %s", f.ID, f.Impact, f.Help, n.HTML, strings.Join(strings.Fields(n.FailureSummary), " ")))
		}
	}
	return list, nil
}

// Package browser looks at pages as people do, in headless Chromium: at a
// width, in a colour scheme, with or without JavaScript, by keyboard, and
// through axe-core, which finds what keeps people out.
//
// Chromium and axe-core are what scripts/install-browser.sh installs.
package browser

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// ErrMissing says that a program is not installed, and how to get it.
var ErrMissing = errors.New("run scripts/install-browser.sh")

// pageLimit is how long all steps in one tab may take, and homeLimit how long the
// processes of a Chromium that has ended may write to its home.
const (
	pageLimit = 5 * time.Minute
	homeLimit = time.Minute
)

// A Browser is a running Chromium. Its methods may be called concurrently.
type Browser struct {
	ctx  context.Context
	end  []context.CancelFunc
	axe  string
	home string // of its profile and whatever else it writes
}

// Start starts Chromium. [Browser.Close] ends it.
func Start() (*Browser, error) {
	program, err := exec.LookPath("chromium")
	if err != nil {
		return nil, fmt.Errorf("chromium is missing: %w", ErrMissing)
	}
	axe, err := readAxe()
	if err != nil {
		return nil, err
	}
	b := &Browser{axe: axe}
	if b.home, err = os.MkdirTemp("", "chromium-"); err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.NoSandbox, // it refuses to run as root with it
		chromedp.UserDataDir(filepath.Join(b.home, "profile")),
		chromedp.Env("HOME="+b.home),
		chromedp.WSURLReadTimeout(time.Minute),
		// Fonts look alike on every machine, and shared memory may be small.
		chromedp.Flag("font-render-hinting", "none"),
		chromedp.Flag("disable-dev-shm-usage", true),
	)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	b.end = append(b.end, cancel)
	b.ctx, cancel = chromedp.NewContext(ctx)
	b.end = append(b.end, cancel)
	if err := chromedp.Do(b.ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start chromium: %w", err), b.Close())
	}
	return b, nil
}

// Close ends Chromium.
func (b *Browser) Close() error {
	for i := len(b.end) - 1; i >= 0; i-- {
		b.end[i]()
	}
	err := os.RemoveAll(b.home)
	for deadline := time.Now().Add(homeLimit); err != nil && time.Now().Before(deadline); err = os.RemoveAll(b.home) {
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// readAxe returns axe-core's source.
func readAxe() (string, error) {
	cache := cmp.Or(os.Getenv("XDG_CACHE_HOME"), filepath.Join(os.Getenv("HOME"), ".cache"))
	source, err := os.ReadFile(filepath.Join(cache, "tlogistry", "axe", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		return "", fmt.Errorf("axe-core is missing: %w: %w", ErrMissing, err)
	}
	return string(source), nil
}

// A View is how a page is looked at.
type View struct {
	Width    int  // of the window, in CSS pixels
	Dark     bool // the colour scheme that is preferred
	NoScript bool // without JavaScript
}

// String names the view in file names.
func (v View) String() string {
	scheme := "light"
	if v.Dark {
		scheme = "dark"
	}
	return fmt.Sprintf("%d-%s", v.Width, scheme)
}

// A Page is one tab. Its steps are made one after the other; each fails after
// the time that all of them may take.
type Page struct {
	ctx context.Context
	end []context.CancelFunc
	axe string

	mu     sync.Mutex
	wrongs []string
}

// Open opens an empty tab. [Page.Close] closes it.
func (b *Browser) Open(v View) (*Page, error) {
	p := &Page{axe: b.axe}
	ctx, cancel := chromedp.NewContext(b.ctx)
	p.end = append(p.end, cancel)
	err := chromedp.Do(ctx) // its context is the tab's life, and has no limit
	p.ctx, cancel = context.WithTimeout(ctx, pageLimit)
	p.end = append(p.end, cancel)
	if err == nil {
		err = errors.Join(chromedp.Listen(p.ctx, p.listen), p.emulate(v))
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("open a tab: %w", err)
	}
	return p, nil
}

// emulate has the tab look at pages as v says.
func (p *Page) emulate(v View) error {
	scheme := "light"
	if v.Dark {
		scheme = "dark"
	}
	_, err := chromedp.Call(p.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: int64(v.Width), Height: 800, DeviceScaleFactor: 1, Mobile: v.Width < 600,
	})
	_, err2 := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	_, err3 := chromedp.Call(p.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: v.NoScript})
	_, err4 := chromedp.Call(p.ctx, log.Enable, cdp.Empty{})
	return errors.Join(err, err2, err3, err4)
}

// listen keeps what the browser finds wrong: errors in its console, and what a
// Content-Security-Policy stopped. That an answer has the status of an error
// it also calls one, and is not wrong.
func (p *Page) listen(event any) {
	var text string
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Source == log.EntrySourceNetwork && strings.Contains(e.Entry.Text, "the server responded with a status of") {
			return
		}
		text = fmt.Sprintf("%s: %s", e.Entry.Source, e.Entry.Text)
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
	default:
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrongs = append(p.wrongs, text)
}

// Wrongs returns what the browser found wrong so far.
func (p *Page) Wrongs() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.wrongs...)
}

// Close closes the tab.
func (p *Page) Close() {
	for i := len(p.end) - 1; i >= 0; i-- {
		p.end[i]()
	}
}

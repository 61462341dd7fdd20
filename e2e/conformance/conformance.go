// Package conformance runs the read-only part of the OCI distribution-spec's
// conformance suite against a registry.
package conformance

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// suite is a program, at the version that this module requires.
	suite = "github.com/opencontainers/distribution-spec/conformance"

	// runTimeout bounds a run with the build of the suite.
	runTimeout = 15 * time.Minute

	maxReport = 16 << 20
)

// groups are the suite's tests that need no push. Each has a run of its own:
// a run of all ends, when pushing is off, in a panic before the report is
// written.
var groups = []string{"ping", "empty", readOnly, "missing-manifest", "invalid-digest-format"}

// readOnly is the group that asks for what the registry holds.
const readOnly = "read-only"

// A Seed names what the repository holds and the suite shall ask for.
// No list may be empty. Everything must have OCI media types: the suite
// accepts no other.
type Seed struct {
	Tags      []string
	Manifests []string // digests
	Blobs     []string // digests
	Referrers []string // digests of subjects that have referrers
}

// A Result counts the tests of a run.
type Result struct {
	Passed  int
	Failed  int
	Skipped int // tests of pushing and deleting, which the run leaves out

	Failures []string // each failed test's name and message
}

// Run builds the suite and runs it against the repository repo, such as
// "library/alpine", of the registry at baseURL, such as "http://localhost:8080".
// Failed tests are no error; a suite that could not be run to its end is.
// Run must be called within this module's directories, for the build.
func Run(ctx context.Context, baseURL, repo string, seed Seed) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	env, err := environment(baseURL, repo)
	if err != nil {
		return Result{}, err
	}
	data, err := seed.environment()
	if err != nil {
		return Result{}, err
	}
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "conformance")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, suite).CombinedOutput(); err != nil {
		return Result{}, fmt.Errorf("build the conformance suite: %w\n%s", err, out)
	}
	var sum Result
	for _, group := range groups {
		cmd := exec.CommandContext(ctx, program)
		cmd.Dir = filepath.Join(dir, group)
		cmd.Env = append(env, "OCI_FILTER_TEST=OCI Conformance Test/"+group)
		if group == readOnly {
			cmd.Env = append(cmd.Env, data...)
		}
		r, err := runGroup(cmd)
		if err != nil {
			return Result{}, fmt.Errorf("conformance tests %q: %w", group, err)
		}
		sum.add(r)
	}
	return sum, nil
}

// environment returns the suite's configuration, less the seed.
func environment(baseURL, repo string) ([]string, error) {
	base, err := url.Parse(baseURL)
	if err != nil {
		return nil, err
	}
	tls, ok := map[string]string{"http": "disabled", "https": "enabled"}[base.Scheme]
	if !ok || base.Host == "" {
		return nil, fmt.Errorf("base URL %q: want http://HOST or https://HOST", baseURL)
	}
	return []string{
		"OCI_REGISTRY=" + base.Host,
		"OCI_TLS=" + tls,
		"OCI_REPO1=" + repo,
		"OCI_VERSION=1.1",
		"OCI_API_PUSH=false",
		"OCI_API_BLOBS_DELETE=false",
		"OCI_API_MANIFESTS_DELETE=false",
		"OCI_API_TAGS_DELETE=false",
	}, nil
}

// environment returns the suite's variables for the seed.
// The suite splits each at single spaces and takes an empty word for a value.
func (s Seed) environment() ([]string, error) {
	var env []string
	for _, list := range []struct {
		name   string
		values []string
	}{{"TAGS", s.Tags}, {"MANIFESTS", s.Manifests}, {"BLOBS", s.Blobs}, {"REFERRERS", s.Referrers}} {
		joined := strings.Join(list.values, " ")
		if len(list.values) == 0 || len(strings.Fields(joined)) != len(list.values) || strings.Join(strings.Fields(joined), " ") != joined {
			return nil, fmt.Errorf("seed: bad %s %q", strings.ToLower(list.name), list.values)
		}
		env = append(env, "OCI_RO_DATA_"+list.name+"="+joined)
	}
	return env, nil
}

// runGroup runs the suite in a new directory and reads its report.
func runGroup(cmd *exec.Cmd) (Result, error) {
	if err := os.Mkdir(cmd.Dir, 0o700); err != nil {
		return Result{}, err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.WaitDelay = 5 * time.Second
	runErr := cmd.Run()

	// The suite exits with 1 for a failed test and, having written no report,
	// with 0 for some troubles of its own: only the report tells.
	report, err := os.Open(filepath.Join(cmd.Dir, "results", "junit.xml"))
	if err != nil {
		return Result{}, errors.Join(err, runErr, errors.New(stderr.String()))
	}
	defer report.Close()
	r, err := parse(io.LimitReader(report, maxReport))
	if err != nil {
		return Result{}, err
	}
	switch {
	case r.Passed+r.Failed == 0:
		return Result{}, fmt.Errorf("no test ran\n%s", stderr.String())
	case runErr != nil && r.Failed == 0:
		return Result{}, fmt.Errorf("%w\n%s", runErr, stderr.String())
	}
	return r, nil
}

// parse reads a JUnit report of the suite.
func parse(report io.Reader) (Result, error) {
	var suites struct {
		Cases []struct {
			Name    string `xml:"name,attr"`
			Status  string `xml:"status,attr"`
			Message string `xml:"system-out"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.NewDecoder(report).Decode(&suites); err != nil {
		return Result{}, fmt.Errorf("report: %w", err)
	}
	var r Result
	for _, c := range suites.Cases {
		switch c.Status {
		case "passed":
			r.Passed++
		case "skipped":
			r.Skipped++
		case "failure", "error":
			r.Failed++
			r.Failures = append(r.Failures, c.Name+": "+c.Message)
		default:
			return Result{}, fmt.Errorf("report: %s has status %q", c.Name, c.Status)
		}
	}
	return r, nil
}

func (r *Result) add(other Result) {
	r.Passed += other.Passed
	r.Failed += other.Failed
	r.Skipped += other.Skipped
	r.Failures = append(r.Failures, other.Failures...)
}

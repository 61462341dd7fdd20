package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// headerLimit is what serve gives a request's header.
const headerLimit = 10 * time.Second

// raw opens a connection to a service on which every wait ends.
func raw(t *testing.T, svc *service) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", svc.host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// answered sends a request and returns the answer to it and, where the
// connection ends with it, all that follows.
func answered(t *testing.T, c net.Conn, request string) (resp *http.Response, body, rest string) {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	read := func(r io.Reader) string {
		b, err := io.ReadAll(r)
		// What the service does not read makes it reset the connection, later.
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
		return string(b)
	}
	body = read(resp.Body)
	if resp.Close {
		rest = read(r)
	}
	return resp, body, rest
}

// TestLimits shows the limits of a connection on the command as it runs, with
// a log of its own and with a registry.
func TestLimits(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "v1", w.one)
	svc := w.direct(t)
	const get = "GET /v2/app/manifests/v1 HTTP/1.1\r\nHost: localhost\r\n"

	t.Run("slow headers", func(t *testing.T) {
		t.Parallel()
		var wg sync.WaitGroup
		for n := range 50 {
			c := raw(t, svc)
			began := time.Now()
			wg.Go(func() {
				fmt.Fprint(c, get)
				for n%2 == 0 { // some send on, byte by byte
					if _, err := fmt.Fprint(c, "X"); err != nil {
						break
					}
					time.Sleep(100 * time.Millisecond) // as slow as it likes
					if time.Since(began) > 2*headerLimit {
						break
					}
				}
				_, err := io.ReadAll(c)
				if took := time.Since(began); err != nil && !errors.Is(err, syscall.ECONNRESET) || took < headerLimit-time.Second || took > headerLimit+5*time.Second {
					t.Errorf("closed after %v, %v", took, err)
				}
			})
		}
		for range 20 {
			if took := elapsed(func() { svc.get(t, "app", "v1").mustServe(t, w.one) }); took > 5*time.Second {
				t.Errorf("others wait for %v", took)
			}
		}
		wg.Wait()
	})
	t.Run("large headers", func(t *testing.T) {
		for name, request := range map[string]string{
			"header":  get + "X-A: " + strings.Repeat("a", 70<<10) + "\r\n\r\n",
			"headers": get + strings.Repeat("X-A: b\r\n", 10<<10) + "\r\n",
			"address": "GET /v2/" + strings.Repeat("a", 70<<10) + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
			"query":   "GET /v2/?" + strings.Repeat("a", 70<<10) + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
		} {
			if resp, _, _ := answered(t, raw(t, svc), request); resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("%s: %s", name, resp.Status)
			}
		}
		// What is short enough for that is still no name.
		long := "GET /v2/" + strings.Repeat("a/", 30<<10) + "manifests/v1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
		resp, body, _ := answered(t, raw(t, svc), long)
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "NAME_INVALID") || len(body) > 4096 {
			t.Errorf("%s, %d bytes", resp.Status, len(body))
		}
	})
	t.Run("body", func(t *testing.T) {
		for name, rest := range map[string]string{
			"promised": "Content-Length: 1000000000\r\n\r\n",
			"endless":  "Transfer-Encoding: chunked\r\n\r\n10000\r\nxxx",
			"smuggled": "Content-Length: 64\r\n\r\nGET /v2/app/manifests/other HTTP/1.1\r\nHost: localhost\r\n\r\n",
		} {
			began := time.Now()
			resp, _, after := answered(t, raw(t, svc), get+rest)
			if resp.StatusCode != http.StatusOK || resp.Header.Get("Docker-Content-Digest") != w.one || !resp.Close || after != "" {
				t.Errorf("%s: %s, close %t, then %q", name, resp.Status, resp.Close, after)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s: it took %v", name, took)
			}
		}
	})
}

// retryAfter is the wait that an answer asks for, from 1 s to most.
func (a answer) retryAfter(t *testing.T, most int) time.Duration {
	t.Helper()
	a.mustStatus(t, http.StatusTooManyRequests)
	if code, _ := a.ociError(t); code != "TOOMANYREQUESTS" {
		t.Errorf("code %s", code)
	}
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil || seconds < 1 || seconds > most {
		t.Fatalf("Retry-After is %q, want 1 to %d", a.header.Get("Retry-After"), most)
	}
	return time.Duration(seconds) * time.Second
}

// from makes a request that came through a proxy, if there is one.
func (s *service) from(t *testing.T, path string, forwarded ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header["X-Forwarded-For"] = forwarded
	resp, err := noRedirect.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// TestClientLimit: each address has its own requests, and no header that a
// client writes gives it another's.
func TestClientLimit(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "v1", w.one)
	const perMinute = 30
	limited := "REQUESTS_PER_MINUTE=" + strconv.Itoa(perMinute)
	// empty asks until the bucket is empty, which fills by one in two seconds.
	empty := func(t *testing.T, svc *service, path string, forwarded ...string) time.Duration {
		t.Helper()
		for range perMinute {
			if a := svc.from(t, path, forwarded...); a.status != http.StatusOK {
				return a.retryAfter(t, 2)
			}
		}
		t.Fatal("requests are not limited")
		return 0
	}
	// spent makes as many requests as an address has, and then forged ones in
	// whose headers others are named. The time that this takes gives it some more.
	spent := func(t *testing.T, svc *service, forwarded string, forged [][]string) {
		t.Helper()
		began, more := time.Now(), 0
		for range perMinute {
			svc.from(t, "/v2/", forwarded).mustStatus(t, http.StatusOK)
		}
		for _, headers := range forged {
			if a := svc.from(t, "/v2/", headers...); a.status == http.StatusOK {
				more++
			} else {
				a.retryAfter(t, 2)
			}
		}
		if most := filled(began, perMinute); more > most {
			t.Errorf("%d of %d more requests were answered, want %d at most", more, len(forged), most)
		}
	}

	t.Run("nobody is trusted", func(t *testing.T) {
		svc, began := w.direct(t, limited), time.Now()
		served := 0
		for n := range 2 * perMinute {
			if svc.from(t, "/v2/", fmt.Sprintf("198.51.100.%d", n)).status == http.StatusOK {
				served++
			}
		}
		// The first one is the harness's.
		if served < perMinute-1 || served > perMinute+filled(began, perMinute) {
			t.Errorf("%d requests were answered, want %d", served, perMinute-1)
		}
		wait := empty(t, svc, "/v2/app/manifests/v1", "198.51.100.1")
		svc.from(t, "/").mustStatus(t, http.StatusOK) // the home page is not counted
		time.Sleep(wait)
		svc.get(t, "app", "v1").mustServe(t, w.one)
	})
	t.Run("on Cloud Run", func(t *testing.T) {
		svc := w.direct(t, limited, "K_SERVICE=tlogistry", "HOST=127.0.0.1")
		var forged [][]string
		for n := range 10 {
			forged = append(forged, []string{fmt.Sprintf("203.0.113.%d", n), fmt.Sprintf("192.0.2.%d, 198.51.100.1", n)})
		}
		spent(t, svc, "203.0.113.7, 198.51.100.1", forged)
		svc.from(t, "/v2/app/manifests/v1", "198.51.100.1, 198.51.100.2").mustServe(t, w.one)
	})
	t.Run("behind a balancer", func(t *testing.T) {
		svc := w.direct(t, limited, "K_SERVICE=tlogistry", "HOST=127.0.0.1", "TRUSTED_HOPS=2")
		spent(t, svc, "198.51.100.1, 35.191.0.1", slices.Repeat([][]string{{"203.0.113.9,198.51.100.1,35.191.0.2"}}, 10))
		svc.from(t, "/v2/", "198.51.100.1, 198.51.100.2, 35.191.0.1").mustStatus(t, http.StatusOK)
	})
}

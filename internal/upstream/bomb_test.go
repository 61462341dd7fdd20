package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The body of a 101 is the connection, which goes on after the exchange's time.
func TestSwitchedProtocols(t *testing.T) {
	w, c := mapped(t, Config{})
	w.open()
	ended := make(chan struct{})
	w.mux.HandleFunc("/v2/app/manifests/v1", func(rw http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		conn, _, err := rw.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn) // until the other side closes it
	})
	_, err := c.Manifest(t.Context(), tag(t))
	wantError(t, err, 502, "UNAVAILABLE", "registry reg.example answered with status 101")
	<-ended
}

// Long bodies wait for room; short ones do not. Room comes back when the
// exchange ends, in whatever way.
func TestRoomForLongBodies(t *testing.T) {
	w, c := mapped(t, Config{Timeout: time.Minute})
	w.open()
	release := make(chan struct{})
	w.mux.HandleFunc("/v2/app/manifests/", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", manifestType)
		if r.Method == http.MethodHead {
			return // it tells nothing, so that each is got by its tag
		}
		_, _ = rw.Write(bytes.Repeat([]byte(" "), 1<<20)) // without a length: takes the room of the longest
		<-release
		fmt.Fprint(rw, imageJSON)
	})
	w.serve("/v2/app/manifests/short", 200, "Content-Type: "+manifestType+"\n\n"+imageJSON)
	answered := make(chan error)
	for i := range 8 {
		go func() {
			_, err := c.Manifest(t.Context(), request(t, fmt.Sprintf("/v2/reg.example/app/manifests/long%d", i)))
			answered <- err
		}()
	}
	for deadline := time.Now().Add(30 * time.Second); c.room.TryAcquire(1); time.Sleep(time.Millisecond) {
		c.room.Release(1)
		if time.Now().After(deadline) {
			t.Fatal("there is always room")
		}
	}
	if _, err := c.Manifest(t.Context(), request(t, "/v2/reg.example/app/manifests/short")); err != nil {
		t.Errorf("a short one: %v", err)
	}
	close(release)
	for range 8 {
		if err := <-answered; err != nil {
			t.Error(err)
		}
	}
	c.roomy(t)
}

// A long answer that got no room is no fault of the registry.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	w, c := mapped(t, Config{Timeout: 2 * time.Second}) // the answer's beginning comes within it
	w.open()
	w.serve("/v2/app/manifests/long", 200, "Content-Type: "+manifestType+"\n\n"+imageJSON+strings.Repeat(" ", smallBody))
	if err := c.room.Acquire(t.Context(), roomBytes); err != nil {
		t.Fatal(err)
	}
	_, err := c.Manifest(t.Context(), request(t, "/v2/reg.example/app/manifests/long"))
	wantError(t, err, 503, "UNAVAILABLE", "too many long answers of registries are being read; try again later: no room for the answer: context deadline exceeded")
	c.room.Release(roomBytes)
	if _, err := c.Manifest(t.Context(), request(t, "/v2/reg.example/app/manifests/long")); err != nil {
		t.Error(err)
	}
}

// roomy waits until all room is free, which is so a moment after an answer.
func (c *Client) roomy(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.room.Acquire(ctx, roomBytes); err != nil {
		t.Fatalf("the room is not given back: %v", err)
	}
	c.room.Release(roomBytes)
}

// A long body that broke off is asked for again, and does not hold on to the
// room of its first try. None of its parts is taken for the whole.
func TestRoomIsGivenBackBetweenTries(t *testing.T) {
	for name, head := range map[string]string{
		"length":  "Content-Length: 4194304\r\n",
		"chunked": "Transfer-Encoding: chunked\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w, c := mapped(t, Config{})
			w.open()
			w.mux.HandleFunc("/v2/app/manifests/v1", func(rw http.ResponseWriter, _ *http.Request) {
				conn, _, err := rw.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				text := imageJSON + strings.Repeat(" ", 1<<20)
				fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Type: "+manifestType+"\r\n"+head+"\r\n")
				if name == "chunked" {
					fmt.Fprintf(conn, "%x\r\n", len(text))
				}
				fmt.Fprint(conn, text)
			})
			_, err := c.Manifest(t.Context(), tag(t))
			wantError(t, err, 502, "UNAVAILABLE", "registry reg.example gave a bad answer: the answer broke off: unexpected EOF")
			want(t, w.requests(), "GET /v2/", askTag, askTag, askTag)
			c.roomy(t)
		})
	}
}

// What was read is nobody else's: not the next body's, nor that of one that was
// refused.
func TestLongBodiesDoNotShareBytes(t *testing.T) {
	w, c := mapped(t, Config{})
	w.open()
	long := func(i int) string {
		return fmt.Sprintf(`{"annotations":{"n":"%d"},`, i) + imageJSON[1:] + strings.Repeat(" ", 3<<20)
	}
	w.mux.HandleFunc("/v2/app/manifests/{tag}", func(rw http.ResponseWriter, r *http.Request) {
		var i int
		_, _ = fmt.Sscan(r.PathValue("tag"), &i)
		rw.Header().Set("Content-Type", manifestType)
		fmt.Fprint(rw, strings.Repeat("x", i%2*(maxBody+1)), long(i)) // every other one is too long
	})
	for i := range 5 {
		m, err := c.Manifest(t.Context(), request(t, fmt.Sprintf("/v2/reg.example/app/manifests/%d", i)))
		if i%2 == 1 {
			wantError(t, err, 502, "UNAVAILABLE", "registry reg.example gave a bad answer: longer than 4194304 bytes")
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if string(m.Bytes) != long(i) {
				t.Errorf("%d has changed", i)
			}
		}()
	}
}

// What says that it is too long is not read.
func TestDeclaredTooLong(t *testing.T) {
	w, c := mapped(t, Config{})
	w.open()
	w.mux.HandleFunc("/v2/app/", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", manifestType)
		rw.Header().Set("Content-Length", "1000000000000")
		rw.WriteHeader(200)
		rw.(http.Flusher).Flush()
		<-r.Context().Done() // nothing comes, and nobody waits for it
	})
	const text = "registry reg.example gave a bad answer: longer than 4194304 bytes"
	_, err := c.Manifest(t.Context(), tag(t))
	wantError(t, err, 502, "UNAVAILABLE", text)
	_, err = c.Pass(t.Context(), request(t, "/v2/reg.example/app/tags/list"), Wish{Method: "GET"})
	wantError(t, err, 502, "UNAVAILABLE", text)
}

// Of an answer that is an error, 64 KiB are read.
func TestLongErrors(t *testing.T) {
	for _, status := range []int{302, 401, 404, 500} {
		w, c := mapped(t, Config{})
		w.open()
		ended := make(chan int64, 8)
		w.mux.HandleFunc("/v2/app/manifests/v1", func(rw http.ResponseWriter, _ *http.Request) {
			conn, _, err := rw.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprintf(conn, "HTTP/1.1 %d x\r\nLocation: /v2/app/manifests/v1\r\n\r\n", status)
			sent, err := io.Copy(conn, endless{})
			if err == nil {
				t.Error("the copy ended")
			}
			ended <- sent
		})
		if _, err := c.Manifest(t.Context(), tag(t)); err == nil {
			t.Errorf("%d: served", status)
		}
		if sent := <-ended; sent > maxBody*3/2 { // what is in buffers on the way counts as sent
			t.Errorf("%d: %d bytes were taken", status, sent)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestManyMembers(t *testing.T) {
	many := func(n int) []byte {
		var b bytes.Buffer
		b.WriteString(`{"schemaVersion":2,"layers":[]`)
		for i := range n {
			fmt.Fprintf(&b, `,"m%d":%d`, i, i)
		}
		return append(b.Bytes(), '}')
	}
	if _, err := mediaType(manifestType, many(maxMembers-2)); err != nil {
		t.Error(err)
	}
	_, err := mediaType(manifestType, many(maxMembers-1))
	if err == nil || err.Error() != "not a manifest: more than 100 members" {
		t.Errorf("error is %v", err)
	}
	text := many(20_000)
	if n := testing.AllocsPerRun(1, func() { _, _ = members(text) }); n > 10*maxMembers {
		t.Errorf("%v allocations", n)
	}
}

// The buffer for a body of unknown length serves the next one, however short
// the body was.
func TestSpareAfterShortBody(t *testing.T) {
	c := New(Config{})
	t.Cleanup(c.Close)
	text := strings.Repeat("x", smallBody+2)
	read := func() {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		resp := &http.Response{StatusCode: 200, ContentLength: -1, Body: io.NopCloser(strings.NewReader(text))}
		got, err := (&trip{client: c, large: true}).read(ctx, resp)
		if err != nil || string(got) != text {
			t.Fatalf("%d bytes, error %v", len(got), err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const times = 20
	for range times {
		read()
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / times; n > 1<<20 {
		t.Errorf("%d bytes were allocated for each body of %d", n, len(text))
	}
}

// cutValue reads what Go's decoder reads.
func FuzzMembers(f *testing.F) {
	for _, s := range []string{
		imageJSON, indexJSON, `{}`, " { } ", `{"a":{"b":["}\"",{}]},"c":"\\"}`, `{"a" : -1.5e3 , "b":null }`, "{\"a\":true\n,\"b\":[ ]}\t",
		`{"x":"\"","layers":[1]}`, `{"layers":"\"}","config":1}`, `{"x":"\\","layers":[]}`, `{"x":["]\\\"",{"y":"}"}],"config":{}}`, `{"a":"\u0022}"}`, `{"":""}`, "{\"config\":\x85{}}", `{"a":1}` + "\u00a0",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		found, err := members(text)
		var all map[string]json.RawMessage
		if goes := json.Unmarshal(text, &all); err == nil && (goes != nil || all == nil) {
			t.Fatalf("%q is read as %q; %v", text, found, goes)
		}
		if err != nil {
			return
		}
		if len(all) > maxMembers {
			t.Errorf("%d members", len(all))
		}
		for _, name := range watched {
			if said := all[name]; string(said) != "null" && string(said) != string(found[name]) {
				t.Errorf("%q has %q in %q", name, found[name], text)
			}
		}
	})
}

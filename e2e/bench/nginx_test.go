package bench

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/bench/process"
)

// nginxConfig is nginx as a reverse proxy that keeps its connections to the
// registry, and writes no log.
const nginxConfig = `daemon off;
pid %[1]s/nginx.pid;
error_log stderr crit;
worker_processes auto;
events { worker_connections 1024; }
http {
	access_log off;
	keepalive_requests 1000000;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	upstream registry { server %[3]s; keepalive 128; keepalive_requests 1000000; }
	server {
		listen %[2]s;
		location / {
			proxy_pass http://registry;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host %[3]s;
			proxy_buffers 8 64k;
		}
	}
}
`

// nginx returns the command line of an nginx before a registry, and where it
// will listen; nothing where nginx is not installed.
func nginx(t testing.TB, target string) (argv []string, listen string) {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		t.Logf("without nginx: %v", err)
		return nil, ""
	}
	listen = need(t, process.FreeAddress)
	dir := t.TempDir()
	config := filepath.Join(dir, "nginx.conf")
	// nginx asks a name server for every name but this one.
	target = strings.Replace(target, "localhost", "127.0.0.1", 1)
	writeFile(t, config, fmt.Sprintf(nginxConfig, dir, listen, target))
	return []string{path, "-c", config, "-p", dir, "-e", "stderr"}, listen
}

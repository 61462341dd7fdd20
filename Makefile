# The targets are described in docs/testing.md.

GO ?= go

.PHONY: test check unit e2e e2e-race fuzz clients

test: check unit e2e e2e-race

check:
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	$(GO) build -o bin/ honnef.co/go/tools/cmd/staticcheck
	$(GO) vet ./...
	bin/staticcheck ./...
	cd e2e && $(GO) vet ./... && ../bin/staticcheck ./...

unit:
	$(GO) test -race ./...

clients:
	scripts/install-clients.sh

e2e: clients
	cd e2e && $(GO) test -timeout 20m ./...

e2e-race: clients
	cd e2e && TLOGISTRY_RACE=1 $(GO) test -timeout 10m -run 'TestPull|TestRequestCounts|TestFailure' .

fuzz:
	@for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			$(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime 10s $$p || exit 1; \
		done; \
	done

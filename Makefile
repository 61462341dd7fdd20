# The targets are described in docs/testing.md.

GO ?= go

.PHONY: test check unit e2e e2e-race bench soak fuzz clients terraform-test

test: check unit e2e e2e-race

check:
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	$(GO) build -o bin/ honnef.co/go/tools/cmd/staticcheck
	$(GO) vet ./...
	bin/staticcheck ./...
	cd e2e && $(GO) vet ./... && ../bin/staticcheck ./...
	$(GO) mod verify
	cd e2e && $(GO) mod verify

unit:
	$(GO) test -race ./...

clients:
	scripts/install-clients.sh
	scripts/install-browser.sh

e2e: clients
	cd e2e && $(GO) test -timeout 20m ./...

e2e-race: clients
	cd e2e && TLOGISTRY_RACE=1 $(GO) test -timeout 10m -run 'TestPull|TestRequestCounts|TestFailure' .

soak:
	cd e2e && SOAK_OPS=$${SOAK_OPS:-10000} $(GO) test -count=1 -timeout 2h -v -run '^TestSoak' .
	cd e2e && FAULT_TIME=$${FAULT_TIME:-60s} $(GO) test -count=1 -timeout 30m -v -run '^TestFaultLeaks$$' .

# ROW selects tests of e2e/bench, such as ROW=Tag; then there are no Go benchmarks.
bench: clients
	scripts/install-nginx.sh
	cd e2e && $(GO) test -count=1 -timeout 1h -v -run '$(ROW)' ./bench -args -full -out $(CURDIR)/bench.out
	$(if $(ROW),,cd e2e && $(GO) test -run '^$$' -bench . ./bench | tee -a $(CURDIR)/bench.out)
	$(if $(ROW),,$(GO) test -run '^$$' -bench . -skip '^Benchmark(Log|Growth)$$' ./internal/... | tee -a bench.out)

fuzz:
	@for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			$(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime 10s $$p || exit 1; \
		done; \
	done

# Without the provider registry only the format is checked, and it says so.
terraform-test:
	terraform fmt -check -diff -recursive terraform
	@if out=$$(terraform -chdir=terraform init -backend=false -input=false -no-color 2>&1); then \
		terraform -chdir=terraform validate && terraform -chdir=terraform test; \
	elif echo "$$out" | grep -Eq 'Failed to (query available|install) provider'; then \
		echo 'terraform-test: the providers cannot be downloaded, so validate and test did not run'; \
	else \
		echo "$$out" >&2; exit 1; \
	fi

# The targets are described in docs/testing.md.

GO ?= go

# The main package of e2e runs as several processes, each with a part of its
# tests: of a test's time most is waiting, and a process can hold one Rekor. What
# has narrow limits, or assumes a Rekor that shows entries in time, runs alone.
E2E_PARTS = e2e-clients e2e-faults e2e-others e2e-packages
E2E_CLIENTS = ^Test(Client|Credentials|Mirror|Local|Ko|Function|Conformance|Page)
E2E_FAULTS = ^Test(Fault|Failure|Hostile)
E2E_ALONE = ^Test(FaultTable|Race|Soak)
E2E_TEST = cd e2e && ../bin/e2e.test -test.timeout 20m

.PHONY: test check unit e2e $(E2E_PARTS) e2e-alone e2e-race bin/e2e.test bench soak fuzz clients terraform-test

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

# What the parts print comes part by part, where make can do that.
e2e: clients
	$(MAKE) -j 4 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) $(E2E_PARTS)
	$(MAKE) e2e-alone

bin/e2e.test:
	cd e2e && $(GO) test -c -o ../bin/e2e.test .

e2e-clients: bin/e2e.test
	$(E2E_TEST) -test.run '$(E2E_CLIENTS)'

e2e-faults: bin/e2e.test
	$(E2E_TEST) -test.run '$(E2E_FAULTS)' -test.skip '$(E2E_ALONE)'

e2e-others: bin/e2e.test
	$(E2E_TEST) -test.skip '$(E2E_CLIENTS)|$(E2E_FAULTS)|$(E2E_ALONE)'

e2e-alone: bin/e2e.test
	$(E2E_TEST) -test.run '$(E2E_ALONE)'

# -count=1, as Go does not see that they run the command and the clients.
e2e-packages:
	cd e2e && $(GO) test -count=1 -p 1 -timeout 20m $$($(GO) list ./... | grep -v '/e2e$$')

e2e-race: clients bin/e2e.test
	export TLOGISTRY_RACE=1; $(E2E_TEST) -test.run 'TestPull|TestRequestCounts|TestFailure'

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

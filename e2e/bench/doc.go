// Package bench measures the service beside the fronts that people put before
// a registry, and beside the registry alone.
//
// Its tests are the measurement. `make bench` runs them in full, which takes
// about a quarter of an hour, and prints tables; without the flag -full each
// takes only long enough to show that it works. What is measured, how, and
// what came of it is in docs/performance.md.
//
// Everything measured is a process of its own, started here: registries, the
// distance before them, a Sigstore, the service as Cloud Run functions build
// it, and the other fronts. All share the machine with the load generator, so
// every figure is one of the whole machine, and what counts is a ratio of two
// that were measured side by side.
package bench

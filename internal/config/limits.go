package config

import (
	"fmt"
	"strconv"
)

// count reads a whole number from zero to most.
func (r *reader) count(name string, or, most int) int {
	v := r.getenv(name)
	if v == "" {
		return or
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > most || strconv.Itoa(n) != v {
		r.bad(name, v, fmt.Sprintf("a whole number from 0 to %d", most))
	}
	return n
}

const (
	// Bounds of what a limit can mean: more is none.
	maxPerMinute = 1000000
	maxHops      = 16

	// newRecordsToRekor lets the first day of a cluster with hundreds of tags
	// end in minutes, as kubelets try again by themselves, and a stranger write
	// one entry a second.
	newRecordsToRekor = 60
)

func (r *reader) newRecords(log string) int {
	or := 0
	if log == Rekor {
		or = newRecordsToRekor
	}
	return r.count("NEW_RECORDS_PER_MINUTE", or, maxPerMinute)
}

func (r *reader) hops() int {
	or := 0
	if r.getenv("K_SERVICE") != "" {
		or = 1
	}
	return r.count("TRUSTED_HOPS", or, maxHops)
}

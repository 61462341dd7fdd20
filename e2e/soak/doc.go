// Package soak decides whether what clients saw of a service keeps its promise.
//
// [NewPlan] draws from a seed what a run does: who pulls what, when tags move,
// which process is killed, how often servers fail. A run, which is not here,
// carries the plan out and writes down every operation with a [Recorder]. Then
// [Check] judges the history together with the log as it was read afterwards:
// by a linearizability check, for which a tag is a register that is written
// once, and by rules that say in words what is wrong.
//
// The package knows no test, no process and no server.
package soak

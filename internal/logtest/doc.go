// Package logtest is a transparency log in memory, for tests of what stands
// before a log.
//
// A [Store] is the state of a log. Each [Instance] on it is the log as one
// process of the service sees it, and has the methods of front.Log. Several
// handlers share one log by having instances on one store.
//
// Left alone, an instance obeys the contract of front.Log to the letter and
// promises nothing beyond it but one thing that the real logs promise, too:
// calls of Add for one reference make one entry on one instance. See
// [Instance.WriteAlways] to go without that.
//
// A store can be told to show entries late, each in its own time or when told
// ([Store.Lag], [Store.Hide], [Store.Show]), to keep statements to itself
// ([Store.Withhold]) and to fork ([Store.Fork]). An instance can be told to
// fail ([Instance.Fail]), to hold calls ([Instance.Hold]) and to lie
// ([Instance.Lie]).
//
// Two stores made with one seed and written to in the same order hold the same
// entries and show them after the same delays. All methods are safe for
// concurrent use.
package logtest

// Package fault breaks the connections between a process and the servers that
// it asks, and counts what the process holds on to.
//
// A [Link] is a TCP proxy in front of one server. It breaks connections; what a
// server itself answers is for the proxy of package sigstore to change.
package fault

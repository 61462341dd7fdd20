// Package upstream is the client of real registries: it fetches manifests,
// finds out where blobs are, and passes lists through.
//
// # What comes back is checked
//
// A manifest's digest is computed from its bytes. Bytes that are not what was
// asked for, that a header of the same answer contradicts, or that can be read
// as two kinds of manifest are an error, never an answer. Every body is
// bounded and every exchange has a time limit.
//
// # Credentials
//
// Pulls are anonymous unless the operator gives credentials for a registry; none
// of a client's is ever sent on. They go to the registry at the origin that they
// are named for, and to its token service if that is at the same origin, is
// Docker Hub's, or is at an origin that the same credentials are named for.
// A realm elsewhere is refused, no redirect takes them along, and so it is with
// the tokens that they buy. Nothing that was told them is quoted with them.
//
// What this package keeps in memory it hands to the next client, whoever that
// is. Without credentials all of it is public. With them, whoever may pull
// from this service may pull what they may. Only a repository that served a
// manifest is answered with it from memory.
//
// # Where connections go
//
// The name of a registry is typed by strangers; realms and redirects are
// chosen by registries. So every connection is checked at the moment it is
// made, by the address it really goes to, and only https is spoken, on port 443
// or one from 1024. The exception is a base URL in [Config].Mirrors: the origin
// (scheme, host and port) that the operator mapped a registry to may be
// anywhere, for requests on behalf of that registry only. A token service or a
// redirect of its on another port is another origin, and not excepted. Proxy
// variables of the environment are not used: a proxy would connect in this
// package's place, where nothing is checked.
//
// # Blobs
//
// A client is sent to where the bytes are, because the service would pay for
// them twice. See [Client.Blob] for the rules.
package upstream

package record

import "time"

// A Witness is a record by some identity, proved as strictly as our own.
type Witness struct {
	Identity Identity
	Sighting
}

// A Proof is what shows that a sighting is in its log, as it was verified. It
// is for people to read and to check again; nothing is decided by it.
type Proof struct {
	// Checkpoint is the signed note that the log vouches with for the tree
	// (C2SP tlog-checkpoint), Origin its first line, which names the log.
	Checkpoint string
	Origin     string
	Size       int64    // entries in the tree
	Root       [32]byte // the tree's root hash (RFC 6962)
	Position   int64    // the entry's place in the tree, from zero; not the log index where a log has several trees

	// Certificate is who signed the entry; nil where the log itself vouches
	// for what is in it.
	Certificate *Certificate
}

// A Certificate is what a signing certificate says. It was valid at the
// sighting's time and issued by a trusted authority.
type Certificate struct {
	Identity            Identity
	Serial              string // lower-case hex digits
	NotBefore, NotAfter time.Time
}

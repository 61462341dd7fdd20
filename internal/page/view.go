package page

import (
	"encoding/hex"
	"time"

	"github.com/tlogistry/tlogistry/internal/record"
)

// The verdicts on a reference. The first five are those of `tlogistry verify`.
const (
	same        = "same"           // the registry serves the recorded digest
	moved       = "moved"          // it serves another one, and pulls are refused
	notRecorded = "never recorded" // the log holds no record of the tag
	cannotTell  = "cannot tell"    // there is a record; Reason says why it cannot be compared
	pinned      = "pinned"         // named by digest, which is never recorded
	derived     = "derived"        // a tag derived from a digest, which is never recorded
	exempt      = "exempt"         // a tag that the operator lets move, which is not recorded

	other = "other" // of another identity: its record names another digest
)

// A View is what the page of a tag tells, in JSON. The first ten fields are
// as `tlogistry verify -o json` has them. Names and meanings stay; a reader
// must bear fields that are not here.
type View struct {
	Reference string     `json:"reference"` // fully qualified, as it is logged
	Verdict   string     `json:"verdict"`   // same, moved, never recorded, cannot tell, pinned, derived or exempt
	Recorded  string     `json:"recorded,omitempty"`
	FirstSeen *time.Time `json:"firstSeen,omitempty"` // claimed by the log, UTC, to the second
	LogIndex  *int64     `json:"logIndex,omitempty"`
	UUID      string     `json:"uuid,omitempty"`
	Identity  string     `json:"identity,omitempty"` // whose record it is, where several identities' count
	Issuer    string     `json:"issuer,omitempty"`
	Current   string     `json:"current,omitempty"` // digest that the registry serves now, by its own word
	Reason    string     `json:"reason,omitempty"`  // why Current is absent

	Name   string  `json:"name"`             // the reference as users type it
	Entry  string  `json:"entry,omitempty"`  // address of what the log shows of the entry; a path of this service begins with /
	Proof  *Proof  `json:"proof,omitempty"`  // absent where it cannot be had at the moment
	Others *Others `json:"others,omitempty"` // absent where nobody else writes to the log, or nothing was looked up
	Lines  Lines   `json:"lines"`

	Trusting bool `json:"-"` // whether others' records count as well
}

// A Proof is what the record was verified by.
type Proof struct {
	Origin      string       `json:"origin"`   // of the checkpoint
	TreeSize    int64        `json:"treeSize"` // of the checkpoint
	RootHash    string       `json:"rootHash"` // of the checkpoint, hex
	Position    int64        `json:"position"` // of the entry in the tree
	Checkpoint  string       `json:"checkpoint"`
	Key         string       `json:"key,omitempty"`         // verifier key of an embedded log
	Certificate *Certificate `json:"certificate,omitempty"` // absent for an embedded log
}

// A Certificate is what signed the record's entry.
type Certificate struct {
	Identity  string    `json:"identity"`
	Issuer    string    `json:"issuer"`
	Serial    string    `json:"serial"` // hex
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
}

// Others is what other identities recorded for the tag.
type Others struct {
	Records []Other `json:"records"`         // each identity's first one, lowest log index first
	More    int     `json:"more,omitempty"`  // entries under the tag's name in the log that were not read
	Error   string  `json:"error,omitempty"` // why there are none here
}

// An Other is another identity's record.
type Other struct {
	Identity  string    `json:"identity"`
	Issuer    string    `json:"issuer"`
	Verdict   string    `json:"verdict"`            // same, other or cannot tell: against Recorded, or Current without that
	Recorded  string    `json:"recorded,omitempty"` // absent where the log does not hold the statement; then what it is about is not proved
	FirstSeen time.Time `json:"firstSeen"`
	LogIndex  int64     `json:"logIndex"`
	UUID      string    `json:"uuid"`
}

// Lines are commands to copy. Those that make no sense are absent.
type Lines struct {
	Pull   string `json:"pull,omitempty"`   // docker pull
	From   string `json:"from,omitempty"`   // FROM, with the recorded digest
	Verify string `json:"verify,omitempty"` // tlogistry verify
}

// view makes a view of what was found out. A target of which nothing is looked
// up has no look.
func (p *Pages) view(t target, l *look, c caller) View {
	v := View{Reference: t.req.String(), Name: t.name, Trusting: len(p.c.Trusted) > 0}
	v.Lines.Pull = "docker pull " + quote(c.host+"/"+t.name)
	switch {
	case l != nil:
		p.fill(&v, l)
		if v.Recorded != "" {
			v.Lines.From = "FROM " + t.name + "@" + v.Recorded
		}
		v.Lines.Verify = p.verifyLine(t, c, l.identity)
	case t.req.Tag == "":
		v.Verdict = pinned
		v.Lines.From = "FROM " + t.name
	case t.req.Derived():
		v.Verdict = derived
	default:
		v.Verdict = exempt
	}
	return v
}

// fill adds what was found out.
func (p *Pages) fill(v *View, l *look) {
	v.Current, v.Reason = l.current, l.reason
	v.Verdict = verdictOf(l)
	if l.outcome != record.Unseen {
		s := l.sighting
		at := s.Time.UTC()
		v.Recorded, v.FirstSeen, v.LogIndex, v.UUID = s.Digest, &at, &s.Index, s.UUID
		if v.Trusting {
			v.Identity, v.Issuer = s.By.Subject, s.By.Issuer
		}
		v.Proof = p.proof(l.proof)
		var proof record.Proof
		if l.proof != nil {
			proof = *l.proof
		}
		v.Entry = p.c.Entry(s, proof)
	}
	if p.c.Others != nil {
		v.Others = othersOf(l)
	}
}

// verdictOf compares record and registry. A record without a digest was
// compared by its hash: it is not that of the registry's digest.
func verdictOf(l *look) string {
	switch {
	case l.outcome == record.Unseen:
		return notRecorded
	case l.current == "":
		return cannotTell
	case l.outcome == record.Same:
		return same
	}
	return moved
}

func (p *Pages) proof(r *record.Proof) *Proof {
	if r == nil {
		return nil
	}
	proof := &Proof{
		Origin:     r.Origin,
		TreeSize:   r.Size,
		RootHash:   hex.EncodeToString(r.Root[:]),
		Position:   r.Position,
		Checkpoint: r.Checkpoint,
		Key:        p.c.Key,
	}
	if c := r.Certificate; c != nil {
		proof.Certificate = &Certificate{c.Identity.Subject, c.Identity.Issuer, c.Serial, c.NotBefore.UTC(), c.NotAfter.UTC()}
	}
	return proof
}

func othersOf(l *look) *Others {
	o := &Others{Records: []Other{}, More: l.more}
	if l.unasked {
		o.Error = "the log could not be asked in time, or its answer could not be verified"
	}
	against := l.sighting.Digest
	if l.outcome == record.Unseen {
		against = l.current
	}
	for _, w := range l.others {
		if w.UUID == l.sighting.UUID && w.Identity == l.sighting.By {
			continue // it decides
		}
		verdict := other
		switch {
		case w.Digest == "" || against == "":
			verdict = cannotTell
		case w.Digest == against:
			verdict = same
		}
		o.Records = append(o.Records, Other{w.Identity.Subject, w.Identity.Issuer, verdict, w.Digest, w.Time.UTC(), w.Index, w.UUID})
	}
	return o
}

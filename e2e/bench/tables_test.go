package bench

// The titles of the tables.
const (
	farTitle         = "A later pull by tag, registry behind 20 ms: median latency ÷ direct"
	nearTitle        = "A later pull by tag, everything on loopback"
	tagRequestsTitle = "A later pull by tag: requests"
	digestTitle      = "A manifest by digest, in memory, everything on loopback, 64 connections"
	blobTitle        = "Where a blob is"
	recordedTitle    = "The first pull of a recorded tag by a new process"
	newTitle         = "The first pull of a tag"
	startTitle       = "Start"
	memoryTitle      = "Size and memory"
	wholeTitle       = "A whole pull, twelve layers of 1 MiB, registry behind 20 ms"
	instancesTitle   = "Growth: instances that share a log"
	foreignTitle     = "Growth: foreign entries under a tag's own subject"
)

// beginTables puts the tables in order, whichever test adds to one first.
func beginTables() {
	figures.Begin(farTitle, nearTitle, tagRequestsTitle, digestTitle, blobTitle,
		recordedTitle, requestsOf(recordedTitle), newTitle, requestsOf(newTitle),
		startTitle, memoryTitle, wholeTitle, instancesTitle, foreignTitle)
}

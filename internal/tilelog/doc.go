// Package tilelog keeps records in a transparency log in a local directory,
// and reads such logs, its own and others'.
//
// The log is a tiled transparency log as in C2SP's tlog-tiles, written by
// Tessera's POSIX driver. Its directory holds
//
//	key          the log's Ed25519 private key in the form of
//	             golang.org/x/mod/sumdb/note, mode 0600
//	lock         locked by the one process that has the log open
//	begun        made once there is a checkpoint, so that a log that is gone is
//	             not begun again under its key
//	log/         what tlog-tiles says, and all that is ever served:
//	  checkpoint   the signed tree head (C2SP tlog-checkpoint)
//	  tile/        hash tiles and entry bundles
//	  .state/      the driver's own notes, not served
//
// The key is made on the first start, and with it the log's name, which is
// both the origin of its checkpoints and the name of its key:
// "tlogistry.local/" and 16 random hex digits. Both stay for the log's life.
//
// Each entry is one [Record]. The index of the records lives in memory and
// comes from the entries alone: [Open] reads all of them, recomputes the root
// hash, and compares it with the signed checkpoint. Of several records of a
// reference the first decides; later ones are counted, and otherwise ignored.
//
// A record counts once a published checkpoint covers it. What the driver has
// integrated but not yet published when a process is killed shows up with the
// next checkpoint; nobody has been told of it before.
package tilelog

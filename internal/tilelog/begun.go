package tilelog

import "path/filepath"

// begunFile says that the log has had a checkpoint. A key without a log is
// otherwise that of a first start that was cut short, and a log is begun with
// it. With this file the log is lost: another one under its key would be a
// second history, signed like the first.
const begunFile = "begun"

// begunText is for whoever finds the file.
const begunText = "The log in log/ has a checkpoint. Where it is missing, bring it back, or begin anew in another directory.\n"

func begun(dir string) (bool, error) { return exists(filepath.Join(dir, begunFile)) }

// markBegun makes sure that the file is there, and on the disk. Nothing is
// added to the log before.
func markBegun(dir string) error {
	if there, err := begun(dir); err != nil || there {
		return err
	}
	return writeSynced(filepath.Join(dir, begunFile), begunText)
}

package service

import (
	"testing"

	"go.uber.org/goleak"
)

// Nothing that the tests here begin goes on after them.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

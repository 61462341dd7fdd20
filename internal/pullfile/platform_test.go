package pullfile

import "testing"

// Where the variant is unknown, what has it in it is too.
func TestPlatform(t *testing.T) {
	for _, c := range []struct{ arch, word, want string }{
		{"amd64", "$BUILDPLATFORM $TARGETPLATFORM", "linux/amd64 linux/amd64"},
		{"arm64", "$TARGETARCH$TARGETVARIANT", "arm64"},
		{"arm", "$TARGETOS-$BUILDARCH", "linux-arm"},
		{"arm", "$TARGETPLATFORM$BUILDVARIANT", "no value for TARGETPLATFORM, BUILDVARIANT"},
	} {
		got, err := platform(c.arch).expand(c.word, '\\')
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s, %q: %q, want %q", c.arch, c.word, got, c.want)
		}
	}
}

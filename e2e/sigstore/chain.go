package sigstore

// Chain returns the authority's certificates, DER, as a trusted root has them:
// what signs leaves first.
func (c *CA) Chain() [][]byte {
	var chain [][]byte
	for _, cert := range c.chain {
		chain = append(chain, cert.Raw)
	}
	return chain
}

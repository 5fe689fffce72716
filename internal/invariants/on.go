//go:build race || invariants

package invariants

// Enabled reports whether this build poisons returned memory and checks
// reference counts. It is a constant so that the checks vanish elsewhere.
const Enabled = true

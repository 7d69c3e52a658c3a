"""Treatment success, the choice experiment, and case mix: mathematics on children's outcomes. No storage, no HTTP."""

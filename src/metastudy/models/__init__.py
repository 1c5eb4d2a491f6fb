"""Base models f: what learns the features φ, one kind per file."""

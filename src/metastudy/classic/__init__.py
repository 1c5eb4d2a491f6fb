"""The classic benchmarks: known numbers first, then better ones."""

"""Anybody's own data: which way of adapting to use with few labels, and how sure that is."""

"""Adapting on tables whose columns differ: what a column's own support statistics say about its weight."""

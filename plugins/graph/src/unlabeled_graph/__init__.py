"""Graphs for `unlabeled`."""

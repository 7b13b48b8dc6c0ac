"""Data sets of graphs, and their readers."""

"""Data sets of text, and their readers."""

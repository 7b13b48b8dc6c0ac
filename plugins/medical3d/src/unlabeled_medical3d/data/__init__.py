"""Data sets of volumes, and their readers."""

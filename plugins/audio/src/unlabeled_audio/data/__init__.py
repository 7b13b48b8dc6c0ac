"""Data sets of sound, and their readers."""

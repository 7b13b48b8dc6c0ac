"""Data sets of images, and their readers."""

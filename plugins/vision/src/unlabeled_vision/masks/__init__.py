"""Masks on a grid of patches."""

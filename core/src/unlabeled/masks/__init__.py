"""Masks over packed rows, for any layout."""

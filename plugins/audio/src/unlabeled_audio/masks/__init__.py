"""Masks over time and bands."""

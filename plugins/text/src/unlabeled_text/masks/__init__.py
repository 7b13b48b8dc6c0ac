"""Masks over words."""

"""Maths of text."""

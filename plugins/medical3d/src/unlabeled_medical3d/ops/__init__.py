"""Maths of volumes."""

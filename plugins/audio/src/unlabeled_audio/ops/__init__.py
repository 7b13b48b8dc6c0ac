"""Maths of sound."""

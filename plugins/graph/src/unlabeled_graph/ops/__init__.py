"""Maths of graphs."""

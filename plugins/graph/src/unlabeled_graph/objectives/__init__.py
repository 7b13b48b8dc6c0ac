"""Objectives that need a graph, or that only graph papers have."""

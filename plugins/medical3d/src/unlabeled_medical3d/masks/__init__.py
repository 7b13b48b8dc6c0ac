"""Masks on a grid of cubes."""

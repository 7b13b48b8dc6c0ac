"""Masks over steps of time and mel bands."""

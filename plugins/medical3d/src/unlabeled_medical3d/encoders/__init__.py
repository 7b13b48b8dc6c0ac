"""Encoders of volumes."""

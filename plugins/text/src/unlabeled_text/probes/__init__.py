"""Probes of frozen features of texts."""

"""Probes of frozen audio features."""

"""Probes of frozen features of volumes."""

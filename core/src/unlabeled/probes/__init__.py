"""Probes of frozen features, and the table that they fill."""

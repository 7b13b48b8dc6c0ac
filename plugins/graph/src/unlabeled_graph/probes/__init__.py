"""Probes of nodes, graphs and links, each with a frozen, versioned spec."""

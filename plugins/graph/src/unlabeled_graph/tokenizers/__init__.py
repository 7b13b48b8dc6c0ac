"""Tokenizers of nodes."""

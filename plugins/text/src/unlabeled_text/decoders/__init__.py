"""Decoders of words: small transformers that objectives bring along."""

"""Small transformers that objectives bring along."""

"""Plugins: the words that an author writes, and the registry that loads them."""

"""Tokenizers of sound: spectrograms and discrete units."""

"""Waveforms of different lengths for `unlabeled`: an example of a third-party plugin."""

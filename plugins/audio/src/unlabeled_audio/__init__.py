"""Speech, music and environmental sound for `unlabeled`."""

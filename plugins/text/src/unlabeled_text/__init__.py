"""Text for `unlabeled`."""

"""Images for `unlabeled`."""

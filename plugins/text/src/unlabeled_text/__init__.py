"""Text for `unlabeled`: see `unlabeled_text.plugin` for every component."""

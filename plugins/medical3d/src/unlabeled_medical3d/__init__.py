"""CT and MR volumes for `unlabeled`."""

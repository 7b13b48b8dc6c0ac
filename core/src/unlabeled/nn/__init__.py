"""What methods are built of, each thing once. See `docs/toolbox.md`."""

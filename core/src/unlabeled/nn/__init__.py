"""The toolbox of methods, each thing once. See `docs/toolbox.md`."""

"""Run folders, and what is done with what they hold."""

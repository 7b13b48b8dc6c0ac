"""Objectives that read sound, units of sound, or an encoder of sound."""

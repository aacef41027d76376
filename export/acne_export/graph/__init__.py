"""Rewrites of the Keras graph before it is converted."""

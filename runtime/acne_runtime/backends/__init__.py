"""Inference backends; each is imported only when it is chosen."""

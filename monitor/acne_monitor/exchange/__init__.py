"""A subject's history for other programs."""

"""A subject's history as one HTML file."""

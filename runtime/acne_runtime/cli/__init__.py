"""The command `acne-run`."""

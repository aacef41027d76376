"""The command `acne-train`."""

"""Checks of a labelled data set: `acne-train data inspect`."""

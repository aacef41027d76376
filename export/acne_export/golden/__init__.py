"""Golden outputs: what a model answers to a known image, stored to be checked on any device."""

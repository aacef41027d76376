"""Golden outputs: what a model returns for a known image, stored so that any device can check it."""

"""Acne Edge monitor: visits kept on the device, compared, and reported. For education and monitoring only."""

"""`acne-monitor`."""

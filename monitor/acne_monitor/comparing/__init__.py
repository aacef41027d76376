"""Two photographs of the same skin: aligned, their lesions matched, and the change with its measuring error."""

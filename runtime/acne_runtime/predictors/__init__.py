"""What wraps a detector: tiles of large images, severity grades, lesions followed through a video."""

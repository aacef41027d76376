"""A page for the person at the camera and for the clinic's screen."""

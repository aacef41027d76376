"""Where results go; a sink knows no model."""

"""Where frames come from; a source knows no model."""

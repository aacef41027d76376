"""From a detector's raw heads to lesions: box decoding and non-maximum suppression."""

"""What every output for people says once."""

from __future__ import annotations

NO_DIAGNOSIS = "For education and monitoring only. Not a medical diagnosis."

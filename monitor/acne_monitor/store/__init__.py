"""One SQLite file with subjects, visits, photographs, detections and what people said of them."""

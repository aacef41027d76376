"""Archives of millions of photographs: listed, divided into parts, processed on many machines, written part by part."""

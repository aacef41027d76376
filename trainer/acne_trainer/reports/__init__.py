"""HTML reports and tables of trained runs."""

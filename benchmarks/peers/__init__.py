"""One adapter a file; each imports its library when it is itself imported, and nothing else's."""

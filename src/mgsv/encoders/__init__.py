"""Arrays in, features out: one file per encoder."""

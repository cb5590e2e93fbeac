"""Music grounding by short video: which track, and which moment of it, fits this clip."""

__version__ = "0.1.0"

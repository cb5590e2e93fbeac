"""The music library: tracks, their features, and exact search."""

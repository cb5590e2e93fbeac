"""Learned models: features of a video and of tracks in, scores and spans out."""

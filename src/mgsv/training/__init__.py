"""Fitting a model to annotated videos and tracks."""

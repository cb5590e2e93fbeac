"""Annotations, features and batches: what a model is fed."""

"""Measuring any method of music grounding by the rules of the published evaluation."""

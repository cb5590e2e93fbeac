"""Composed edits: training pairs made of real music and real pictures, the way an editor works."""

"""Composed edits: training pairs made of real music and real pictures, the way an editor works."""

from mgsv.synthesis.composed.edits import ComposeInputs, ComposeReport, compose
from mgsv.synthesis.composed.plan import Plan, read_plans
from mgsv.synthesis.composed.production import PLANS, VIDEOS, ComposeOptions, worker_processes

__all__ = [
    "PLANS",
    "VIDEOS",
    "ComposeInputs",
    "ComposeOptions",
    "ComposeReport",
    "Plan",
    "compose",
    "read_plans",
    "worker_processes",
]

"""The default video encoder: what a second shows (EfficientNet-Lite0) and how it moves."""

from __future__ import annotations

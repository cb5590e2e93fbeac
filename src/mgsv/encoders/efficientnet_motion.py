"""The default video encoder: what a second shows (EfficientNet-Lite0) and how it moves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import batched

import numpy as np

from mgsv.encoders import motion
from mgsv.encoders.registry import DEFAULT_VIDEO, Features, fingerprint
from mgsv.media.video import Frame, VideoCurves

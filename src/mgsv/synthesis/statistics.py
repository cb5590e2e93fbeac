"""MGSV-EC in figures: what both kinds of synthetic data follow.

Quantiles are pairs (share, seconds), linear between; rounded from the real val and test.
"""

VIDEO_SECONDS = ((0, 5.2), (0.05, 8.9), (0.25, 14.3), (0.5, 20.5), (0.75, 31), (0.9, 40), (1, 49.5))
TRACK_SECONDS = ((0, 30), (0.05, 34), (0.25, 63), (0.5, 155), (0.75, 204), (0.9, 224), (1, 239.9))
LATE_STARTS = (
    (0, 0.5),
    (0.07, 4),
    (0.13, 9),
    (0.22, 22),
    (0.44, 50),
    (0.7, 68),
    (0.9, 104),
    (1, 190),
)
AT_START, EXACTLY_ZERO = 0.32, 0.75
"""Share of moments drawn within the first half second (a third, with those that have no room to be
later), and of those at 0.0."""

CATEGORIES = {"Fashion": 44, "Games": 12, "Home Furnishings": 9, "Food": 7, "Beauty": 5, "Cars": 3}
CATEGORIES |= {"High-tech Gadgets": 4, "Agriculture": 4, "Lifestyle": 2, "Health": 2, "Other": 8}
SIZES = {(1080, 1920): 71, (2160, 3840): 14, (720, 1280): 8, (1080, 1440): 4, (1280, 720): 3}
RATES = {30: 41, 60: 40, 31: 11, 25: 5, 50: 3}

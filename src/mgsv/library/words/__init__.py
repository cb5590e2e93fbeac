"""Music narrowed by words: `vocabulary` (what words mean), `fit` (how well tracks fit them), and
`wanted` (which tracks are left, and why the others are not).
"""

from mgsv.library.words.vocabulary import Vocabulary, vocabulary
from mgsv.library.words.wanted import Narrowed, Wanted, narrow

__all__ = ["Narrowed", "Vocabulary", "Wanted", "narrow", "vocabulary"]

"""The planted benchmark: made-up data in exactly MGSV-EC's layout, with a known way to solve it."""

from mgsv.synthesis.planted.benchmark import plant
from mgsv.synthesis.planted.options import PlantOptions, read_recipe, recipe_fingerprint
from mgsv.synthesis.planted.rows import plan_rows
from mgsv.synthesis.planted.views import predict_oracle

__all__ = [
    "PlantOptions",
    "plan_rows",
    "plant",
    "predict_oracle",
    "read_recipe",
    "recipe_fingerprint",
]

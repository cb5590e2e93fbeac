"""The planted benchmark: made-up data in exactly MGSV-EC's layout, with a known way to solve it."""

"""How `recipes/corpus.py` gathers its files: packages, licences, likeness, manifest."""

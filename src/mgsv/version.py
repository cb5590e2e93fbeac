"""The package's version, apart from its public names, so that every floor may import it."""

__version__ = "0.1.0"

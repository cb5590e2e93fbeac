"""The package's version, apart from its public names, so that every floor may import it."""

from importlib import metadata

try:
    __version__ = metadata.version("mgsv")
except metadata.PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0+unknown"

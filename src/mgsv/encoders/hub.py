"""The paper's encoders are too large to ship: their weights come from a local folder or the hub."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mgsv.encoders.registry import fingerprint
from mgsv.errors import ConfigError, needs_extra, shown

if TYPE_CHECKING:
    from torch import nn


class PretrainedEncoder:
    """What the paper's encoders share: a network of `transformers`, loaded when first needed."""

    name: str
    dim: int
    version: int
    repository: ClassVar[str]
    """On the hub."""
    class_name: ClassVar[str]
    """Of the network, in `transformers`."""
    width: ClassVar[str]
    """The field of the network's config that must equal `dim`."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        """folder: where the weights lie, see :func:`load_pretrained`."""
        self._folder = folder

    @cached_property
    def network(self) -> Any:
        model = load_pretrained(self.name, self.class_name, self.repository, self._folder)
        require_dim(self.name, getattr(model.config, self.width), self.dim)
        return model

    @cached_property
    def fingerprint(self) -> str:
        """Loads the network: its weights may come in any file format."""
        return fingerprint(self.name, self.version, weights_digest(self.network))


def load_pretrained(
    encoder: str, class_name: str, repository: str, folder: str | os.PathLike[str] | None
) -> Any:
    """The `transformers` model `class_name` of `repository`, ready for inference.

    folder: holds the repository's files in a folder of its last name part, or itself; None = the
    hub's cache ($HF_HOME), filled over the network where it must be. Weights are read without
    unpickling code. Raises `ConfigError` with a way out where that fails.
    """
    try:
        import transformers
    except ImportError as error:
        raise needs_extra(f"the encoder {encoder!r}", error) from error
    name = repository.rpartition("/")[2]
    source = repository if folder is None else str(_local(Path(folder), name, encoder))
    log: Any = transformers.logging
    verbosity = log.get_verbosity()
    log.set_verbosity_error()  # it lists each weight of the unused halves
    try:
        model, report = _load(getattr(transformers, class_name), source, hub=folder is None)
    except Exception as error:  # the client raises whatever its HTTP and file readers raise
        if folder is not None:
            problem = f"{shown(source)} does not hold {repository} (or its files are damaged)"
        else:
            problem = f"the weights of {repository} are not on this machine and cannot be fetched"
        raise ConfigError(
            problem,
            f"where there is a network, run `hf download {repository} --local-dir DIR/{name}`; "
            "bring DIR here and give it as `encoders_dir`, or bring the cache and set HF_HOME",
        ) from error
    finally:
        log.set_verbosity(verbosity)
    if missing := sorted(report["missing_keys"]):  # transformers would leave them random
        raise ConfigError(
            f"{shown(source)} lacks {len(missing)} weights of {repository}, {missing[0]} first",
            f"fetch {repository} again",
        )
    return model.eval().requires_grad_(False)


def _load(model_class: Any, source: str, hub: bool) -> tuple[Any, dict[str, Any]]:
    """The model and the report of its loading. What is cached needs no network."""
    options = {"weights_only": True, "output_loading_info": True}
    try:
        loaded: tuple[Any, dict[str, Any]]
        loaded = model_class.from_pretrained(source, local_files_only=True, **options)
    except Exception:
        if not hub:
            raise
        loaded = model_class.from_pretrained(source, **options)
    return loaded


def _local(folder: Path, name: str, encoder: str) -> Path:
    """The folder of the model's files: `folder`/`name`, or `folder` itself."""
    for place in (folder / name, folder):
        if (place / "config.json").is_file():
            return place
    raise ConfigError(
        f"{shown(folder)} holds no weights for the encoder {encoder!r}",
        f"`encoders_dir` needs a folder {name} with config.json and model.safetensors",
    )


def weights_digest(model: nn.Module) -> str:
    """A hash of all weights by name, the same for every file format they may come in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def require_dim(encoder: str, found: int, expected: int) -> None:
    """Raises `ConfigError` if the loaded model is of another size than the encoder's."""
    if found != expected:
        raise ConfigError(
            f"the weights given for {encoder!r} make {found} values per row, not {expected}",
            "check `encoders_dir`: they belong to another model",
        )

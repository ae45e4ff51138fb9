"""Whether anything of a repository may be in a cache, asked of thousands at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from xinfer.settings import Settings
from xinfer.types.model import Source


def may_be_here(settings: Settings) -> Callable[[Source], bool]:
    """Tells of a source whether our cache or its library's has a directory for it, which need not
    be whole. The caches are looked through once, now."""
    huggingface = settings.hf_cache or str(Path(settings.hf_home) / "hub")
    modelscope = Path(settings.modelscope_cache).expanduser()
    roots = (
        settings.cache_path / "huggingface",
        settings.cache_path / "modelscope",
        Path(huggingface).expanduser(),
        modelscope / "models",
        modelscope / "hub" / "models",
    )
    names = {name for root in roots for name in _names(str(root))}

    def may_be(source: Source) -> bool:
        owner, _, name = source.repo.rpartition("/")
        return not names.isdisjoint(
            (
                source.repo,
                f"models--{owner}--{name}",
                f"{owner}--{name}",
                f"{owner}/{name.replace('.', '___')}",
            )
        )

    return may_be


def _names(root: str) -> Iterator[str]:
    """The directories below one, and those below them as `parent/name`."""
    for parent in _listed(root):
        yield parent
        for name in _listed(os.path.join(root, parent)):
            yield f"{parent}/{name}"


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:  # not there, or a file
        return []

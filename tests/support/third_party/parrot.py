"""An engine of somebody else: it is on a machine whose PYTHONPATH has this folder."""

from __future__ import annotations

from xinfer.model.engine import Support
from xinfer.model.llm.echo.engine import EchoEngine
from xinfer.types.model import ModelSpec


class ParrotEngine(EchoEngine):
    """Repeats its prompt, as `echo` does."""

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        if not spec.name.startswith("echo"):
            return Support(False, "it repeats, and nothing else")
        return Support(True)

"""Which hub is asked first, and what is said when none of them has the model."""

from __future__ import annotations

from collections.abc import Sequence

from xinfer.errors import InvalidRequest, NotFound, RateLimited, Unavailable, XinferError
from xinfer.model.hub.client import UNREACHABLE
from xinfer.model.hub.repository import HUBS, Repository, open_repository
from xinfer.settings import Settings
from xinfer.types.model import Source

AUTO = "auto"


def order_sources(sources: Sequence[Source], preference: str | None) -> tuple[Source, ...]:
    """Those to try, one after the other.

    Args:
        preference: a launch's `download_hub`, or the setting `model_src`: a hub, then there is no
            other; or auto or None, then all as given.

    Raises:
        InvalidRequest: there is no such hub, or it does not have the model.
    """
    wanted = (preference or AUTO).lower()
    if wanted == AUTO:
        return tuple(sources)
    if wanted not in HUBS:
        raise InvalidRequest(
            f"There is no hub {preference!r}; expected {AUTO}, {' or '.join(HUBS)}.",
            param="download_hub",
        )
    chosen = tuple(source for source in sources if source.hub == wanted)
    if sources and not chosen:
        there = ", ".join(dict.fromkeys(source.hub for source in sources))
        raise InvalidRequest(
            f"The model is not on {wanted}; it is on: {there}.", param="download_hub"
        )
    return chosen


def first_that_answers(sources: Sequence[Source], settings: Settings) -> Repository:
    """The first repository that can be listed. Blocks.

    Raises:
        XinferError: none can; the one error, or one that names each hub with its own.
    """
    failures: list[tuple[Source, XinferError]] = []
    for source in sources:
        try:
            return open_repository(source, settings)
        except XinferError as error:
            failures.append((source, error))
    raise none_has_it(failures)


def none_has_it(failures: Sequence[tuple[Source, XinferError]]) -> XinferError:
    """One error for what each of the sources failed with; trying again helps if it would help
    with one of them."""
    if not failures:
        return NotFound("The model has no source that it could be had from.")
    if len(failures) == 1:
        return failures[0][1]
    text = " ".join(f"{source.hub} ({source.repo}): {error.message}" for source, error in failures)
    errors = [error for _, error in failures]
    passing = [error for error in errors if isinstance(error, (Unavailable, RateLimited))]
    if passing:
        code = passing[0].code if isinstance(passing[0], Unavailable) else UNREACHABLE
        return Unavailable(f"No hub gives the model. {text}", code=code)
    first = errors[0]
    return type(first)(f"No hub gives the model. {text}", code=first.code)

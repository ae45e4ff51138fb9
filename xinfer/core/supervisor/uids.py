"""Names of deployments: what is allowed, and what one is called that the user did not name."""

from __future__ import annotations

import secrets
import string
import unicodedata
from collections.abc import Container, Sequence

from xinfer.errors import InvalidRequest
from xinfer.model.catalog.names import short_name

MAX_LENGTH = 100
MAX_ALIASES = 32
_FORBIDDEN = frozenset("/?#%")
_NO_NAMES = frozenset({"", ".", "..", "instances", "families", "prompts"})
"""Empty, or paths of their own below /v1/models."""
_SUFFIX_LENGTH = 8


def check_uid(uid: str) -> None:
    """Let a uid pass that can stand in a URL's path.

    Raises:
        InvalidRequest: it cannot, or it is too long.
    """
    wrong = sorted({character for character in uid if _is_forbidden(character)})
    if wrong:
        reason = f"contains {', '.join(map(ascii, wrong))}"
    elif uid.strip() in _NO_NAMES:
        reason = f"cannot be {uid[:MAX_LENGTH]!r}"
    elif len(uid) > MAX_LENGTH:
        reason = f"has {len(uid)} characters"
    else:
        return
    raise InvalidRequest(
        f"model_uid {reason}. Use 1 to {MAX_LENGTH} characters, none of them a control character "
        "or one of / ? # %.",
        param="model_uid",
    )


def check_aliases(aliases: Sequence[str]) -> None:
    """Let further names of a model pass. They may have a `/`, as names of repositories do: such a
    name stands in bodies, and in no path.

    Raises:
        InvalidRequest: there are too many, one of them cannot be, or is there twice.
    """
    if len(aliases) > MAX_ALIASES:
        raise InvalidRequest(
            f"There are {len(aliases)} aliases; at most {MAX_ALIASES} are taken.", param="aliases"
        )
    for position, alias in enumerate(aliases):
        try:
            check_uid(alias.replace("/", "-"))
        except InvalidRequest as error:
            message = error.message.replace("model_uid", f"The alias {alias[:MAX_LENGTH]!a}")
            raise InvalidRequest(message.replace(" one of /", " one of"), param="aliases") from None
        if alias in aliases[:position]:
            raise InvalidRequest(f"The alias {alias!r} is there twice.", param="aliases")


def default_uid(model_name: str, taken: Container[str]) -> str:
    """The model's name, or its file's or repository's, made a valid uid; with a random suffix if
    taken.

    Raises:
        InvalidRequest: it is no name of a model.
    """
    name = short_name(model_name)
    name = "".join("-" if _is_forbidden(character) else character for character in name)
    name = name[: MAX_LENGTH - 1 - _SUFFIX_LENGTH].strip()
    if name in _NO_NAMES:
        name = "model"
    uid = name
    while uid in taken:
        uid = f"{name}-{_suffix()}"
    return uid


def _is_forbidden(character: str) -> bool:
    # Control characters, line and paragraph separators, and halves of UTF-16 pairs.
    return character in _FORBIDDEN or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}


def _suffix() -> str:
    alphabet = string.ascii_lowercase + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(_SUFFIX_LENGTH))

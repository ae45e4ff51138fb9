"""Models that users registered: over HTTP, in the store, in Xinference's directory."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from pathlib import Path
from typing import NamedTuple

from xinfer.core.supervisor.store import Store, StoredRegistration
from xinfer.core.supervisor.store.database import Damaged, TooNew, read_contents
from xinfer.core.supervisor.store.opening import DIRECTORY as STATE
from xinfer.core.supervisor.store.opening import NAME as DATABASE
from xinfer.errors import InvalidRequest
from xinfer.model.catalog.catalogue import Catalogue, find_builtin
from xinfer.model.catalog.registration import Registration, check_type, parse_registration
from xinfer.model.catalog.schema import TYPES
from xinfer.types.control import RegisteredModel

logger = logging.getLogger(__name__)

DIRECTORY = "model"
"""Below the home; where Xinference keeps registered models, those of version 2 below `v2`."""


class _Known(NamedTuple):
    registration: Registration
    file: Path | None = None
    """Xinference's file that it was found in."""


class _File(NamedTuple):
    kind: str
    path: Path | None
    text: str


class Registrations:
    """The registered models of a server, which the catalogue is kept true to.

    Args:
        home: where Xinference's files are looked for.
    """

    def __init__(self, catalogue: Catalogue, store: Store, home: Path) -> None:
        self._catalogue = catalogue
        self._store = store
        self._directory = home / DIRECTORY
        self._known: dict[str, _Known] = {}
        """By name in lower case."""
        self._lock = asyncio.Lock()

    async def restore(self) -> None:
        """Know what the store holds, and what Xinference's directory does; once, on start. One that
        cannot be taken is logged and left where it is."""
        stored = await self._store.load_registrations()
        files = await asyncio.to_thread(_read_files, self._directory)
        self._known = _take(self._catalogue, stored, files)
        if self._known:
            names = ", ".join(sorted(one.registration.entry.name for one in self._known.values()))
            logger.info("Registered models: %s", names)

    async def register(self, kind: str, text: str, *, persist: bool) -> RegisteredModel:
        """Add a model to the catalogue, and to the store if it shall outlive this server.

        Raises:
            InvalidRequest: the description is wrong; `param` names its field.
            Conflict: the name is taken.
            Unavailable: it cannot be kept.
        """
        registration = await asyncio.to_thread(_checked, kind, text)
        entry = registration.entry
        async with self._lock:
            self._catalogue.add(entry)
            try:
                if persist:
                    stored = StoredRegistration(entry.name, kind, text)
                    await self._store.put_registration(stored)
            except BaseException:
                self._catalogue.remove(entry)
                raise
            self._known[entry.name.lower()] = _Known(registration)
        logger.info("Registered the model %s of type %s", entry.name, kind)
        return RegisteredModel(kind=kind, text=text, ignored=list(registration.ignored))

    async def unregister(self, kind: str, name: str) -> None:
        """Take a model out of the catalogue, out of the store, and off Xinference's directory.
        Where it runs, it goes on.

        Raises:
            InvalidRequest: there is no such type.
            NotFound: no model of this type and name is registered.
            Conflict: it is a built-in one.
            Unavailable: its end cannot be kept.
        """
        check_type(kind)
        async with self._lock:
            entry = self._catalogue.registered(kind, name)
            await self._store.delete_registration(entry.name)
            file = self._known[entry.name.lower()].file
            if file is not None:
                await asyncio.to_thread(file.unlink, missing_ok=True)
            self._catalogue.remove(entry)
            del self._known[entry.name.lower()]
        logger.info("Model %s is not registered any more", entry.name)

    def list(self) -> list[RegisteredModel]:
        """All of them, as they were described."""
        return [
            RegisteredModel(kind=one.registration.type, text=one.registration.text)
            for one in self._known.values()
        ]


def read_catalogue(home: Path) -> Catalogue:
    """The catalogue as a server of this home begins with it, without being that server. Blocks."""
    database = home / STATE / DATABASE
    stored: list[StoredRegistration] = []
    if database.exists():
        with contextlib.suppress(Damaged, TooNew, sqlite3.Error):  # the server tells, if it starts
            stored = list(read_contents(database).registrations.values())
    catalogue = Catalogue()
    _take(catalogue, stored, _read_files(home / DIRECTORY))
    return catalogue


def _take(
    catalogue: Catalogue, stored: list[StoredRegistration], files: list[_File]
) -> dict[str, _Known]:
    """Add what was kept to the catalogue. Of two of one name the earlier counts: the store's, then
    that of version 2. One that cannot be taken is logged."""
    known: dict[str, _Known] = {}
    found = [_File(one.type, None, one.text) for one in stored]
    for kind, path, text in (*found, *files):
        where = "the store" if path is None else str(path)
        try:
            registration = parse_registration(kind, text)
            key = registration.entry.name.lower()
            if key in known:
                continue
            catalogue.add(registration.entry, before_builtin=True)
        except InvalidRequest as error:
            logger.warning("A model in %s is not registered: %s", where, error.message)
            continue
        if find_builtin(key) is not None:
            logger.warning(
                "The model %s in %s takes the place of one that comes with xinfer",
                registration.entry.name,
                where,
            )
        known[key] = _Known(registration, path)
    return known


def _checked(kind: str, text: str) -> Registration:
    """What is described, with all that can be known of it already. Blocks.

    Raises:
        InvalidRequest: it is wrong; `param` names the field.
    """
    registration = parse_registration(kind, text)
    entry = registration.entry
    if entry.chat_template:
        from xinfer.model.llm.pipeline.template import ChatTemplate  # jinja2 takes a while

        try:
            ChatTemplate(entry.chat_template, {}, max_length=1 << 20)
        except InvalidRequest as error:
            error.param = "chat_template"
            raise
    for number, variant in enumerate(entry.variants):
        path = variant.local_path
        if path is not None and not path.exists():
            field = "model_uri" if len(entry.variants) == 1 else f"model_specs[{number}].model_uri"
            raise InvalidRequest(f"There is no file or directory {str(path)!r}.", param=field)
    return registration


def _read_files(directory: Path) -> list[_File]:
    """Each description in Xinference's directory, version 2 first."""
    found = []
    for base in (directory / "v2", directory):
        for kind in TYPES:
            for file in sorted((base / kind.lower()).glob("*.json")):
                try:
                    found.append(_File(kind, file, file.read_text(encoding="utf-8")))
                except (OSError, UnicodeError) as error:
                    logger.warning("The model in %s is not registered: %s", file, error)
    return found

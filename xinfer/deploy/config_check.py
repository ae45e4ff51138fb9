"""`python -m xinfer.deploy.config_check FILE`: check a file of declared models, and print its
launches.

A process of its own: what reads YAML, launches and models is much more than a launcher shall hold.
It prints a list of `LaunchSpec` as JSON; what is wrong with the file is a line each on stderr, and
its exit status is 1 then.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from xinfer import system
from xinfer.api.errors import validation_error
from xinfer.api.schemas.launch import LaunchBody
from xinfer.core.supervisor.placement import places_of
from xinfer.core.supervisor.registrations import read_catalogue
from xinfer.core.supervisor.scaling import check_replicas
from xinfer.core.supervisor.uids import check_uid, default_uid
from xinfer.errors import InvalidRequest, NotFound, XinferError
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.forms import UNREACHABLE
from xinfer.model.catalog.names import is_path
from xinfer.model.catalog.remote import RemoteModels
from xinfer.model.catalog.resolve import resolve
from xinfer.model.catalog.surroundings import Surroundings
from xinfer.settings import Settings
from xinfer.types.deployment import LaunchSpec

KEY = "models"
_FORM = f"expected `{KEY}:` and a list of launches, each with at least `model_name:`"


class BadFile(Exception):
    """What is wrong with a file, a line for each finding."""

    def __init__(self, findings: list[str]) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings


def read_file(path: str, catalogue: Catalogue | None = None) -> list[LaunchSpec]:
    """The launches that a file declares, each with its uid; relative paths are its directory's.

    Args:
        catalogue: the built-in models alone when left out.

    Raises:
        BadFile: with everything that is wrong in it, by entry and field.
    """
    try:
        with open(path, "rb") as file:
            found = yaml.load(file, _Loader)
    except OSError as error:
        raise BadFile([f"{path}: it cannot be read ({error.strerror})"]) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BadFile([f"{path}: it is not YAML: {' '.join(str(error).split())}"]) from error
    if not isinstance(found, dict) or not isinstance(found.get(KEY), list):
        raise BadFile([f"{path}: {_FORM}"])
    findings = [f"{path}, {key}: there is only `{KEY}`" for key in found if key != KEY]
    specs: dict[str, LaunchSpec] = {}
    directory = os.path.dirname(os.path.abspath(path))
    catalogue = catalogue or Catalogue()
    for number, entry in enumerate(found[KEY], 1):
        where = f"{path}, entry {number}"
        if isinstance(entry, dict) and (name := entry.get("model_uid") or entry.get("model_name")):
            where += f" ({str(name)[:100]})"
        try:
            spec = _launch(entry, directory, catalogue)
            if spec.model_uid in specs:
                raise InvalidRequest(
                    f"{spec.model_uid!r} is the uid of an earlier entry. Give each its own.",
                    param="model_uid",
                )
        except _BadFields as error:
            findings += [_finding(where, each) for each in error.errors]
        except (InvalidRequest, NotFound) as error:
            findings.append(_finding(where, error))
        else:
            assert spec.model_uid is not None
            specs[spec.model_uid] = spec
    if findings:
        raise BadFile(findings)
    return list(specs.values())


class _BadFields(Exception):
    """Fields of an entry cannot be what they are; `errors` has one for each."""

    def __init__(self, errors: list[InvalidRequest]) -> None:
        super().__init__(errors)
        self.errors = errors


def _finding(where: str, error: XinferError) -> str:
    field = f", {error.param}" if error.param else ""
    message = error.message.removeprefix(f"`{error.param}`: ")
    return f"{where}{field}: {' '.join(message.split())}"


def _launch(entry: Any, directory: str, catalogue: Catalogue) -> LaunchSpec:
    """One entry, checked as far as that can be done before the server runs.

    Raises:
        _BadFields, InvalidRequest, NotFound: it would never be launched as it is.
    """
    if not isinstance(entry, dict):
        raise InvalidRequest("It is no launch: expected fields such as `model_name: NAME`.")
    entry = _based(entry, directory)
    try:
        body = LaunchBody.model_validate(entry)
    except ValidationError as error:
        complaints: dict[Any, list[Any]] = {}
        for each in error.errors():
            told = {**each, "loc": ("body", *each["loc"])}
            complaints.setdefault(each["loc"][:1], []).append(told)
        raise _BadFields(
            [
                validation_error(RequestValidationError(of_field, body=entry))
                for of_field in complaints.values()
            ]
        ) from error
    if body.exist_ok:
        raise InvalidRequest("It does not belong here; leave it out.", param="exist_ok")
    body.check_supported()
    spec = body.spec()
    uid = spec.model_uid
    if uid is None:
        uid = default_uid(spec.model_name, ())
    check_uid(uid)
    check_replicas(spec.replica)
    places_of(spec)
    spec = msgspec.structs.replace(spec, model_uid=uid)
    try:
        # No hub is asked: what has to come from one is looked at when it is launched.
        settings = Settings.from_env(offline=True)
        around = Surroundings(
            catalogue,
            RemoteModels(settings),
            code_allowed=settings.trust_remote_code,
            pickle_allowed=settings.allow_pickle,
        )
        resolve(spec, around)
    except (InvalidRequest, NotFound):
        raise
    except XinferError as error:  # of the moment: the server tries again
        if error.code != UNREACHABLE:
            print(f"{uid}: {error.message}", file=sys.stderr)
    return spec


def _based(value: Any, directory: str) -> Any:
    """With relative paths below the file's directory: the server's working one is another."""
    if isinstance(value, dict):
        return {key: _based(each, directory) for key, each in value.items()}
    if isinstance(value, list):
        return [_based(each, directory) for each in value]
    if isinstance(value, str) and is_path(value) and not value.startswith("~"):
        return os.path.normpath(os.path.join(directory, value))
    return value


class _Loader(yaml.SafeLoader):
    """YAML with the scalars of version 1.2 (`no` and `0_5` are texts), and each key once."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        made = super().construct_mapping(node, deep=True)
        for one, two in _repeated(node):
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {one.value!r} comes twice", two.start_mark
            )
        if any(not isinstance(key, str) for key in made):
            raise yaml.constructor.ConstructorError(
                None, None, "a key that is not a text", node.start_mark
            )
        return made


def _repeated(node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    seen: dict[str, yaml.Node] = {}
    for key, _ in node.value:
        if key.value in seen:
            yield seen[key.value], key
        seen[str(key.value)] = key


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^({_pattern})$"), _first
    )


_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))


def main() -> None:
    try:
        specs = read_file(sys.argv[1], read_catalogue(Settings.from_env().home_path))
    except BadFile as error:
        sys.exit(str(error))
    system.write_all(sys.stdout.fileno(), msgspec.json.encode(specs))


if __name__ == "__main__":
    main()

"""Second names of settings: those that other deployments already have in their environment. Our own name wins.

A field names both by `named(OURS, THEIRS)`; nothing else in a process needs to know.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import structlog
from pydantic import AliasChoices
from pydantic_settings import BaseSettings

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class SecondName:
    """One setting with two names."""

    own: str
    other: str


def named(own: str, *others: str) -> AliasChoices:
    """The validation alias of a field that is read from the first of these that is set."""
    return AliasChoices(own, *others)


def second_names(model: type[BaseSettings]) -> Iterator[SecondName]:
    """All of a model."""
    for field in model.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            own, *others = [str(choice) for choice in field.validation_alias.choices]
            for other in others:
                yield SecondName(own, other)


def conflicts(model: type[BaseSettings], environ: Mapping[str, str]) -> list[SecondName]:
    """Settings whose two names say different things; the second is ignored."""
    return [
        name
        for name in second_names(model)
        if name.own in environ and name.other in environ and environ[name.own] != environ[name.other]
    ]


def log_conflicts(environ: Mapping[str, str], *models: type[BaseSettings]) -> None:
    """One line per conflict, at the start of a process. Names only: values may be secrets."""
    for model in models:
        for name in conflicts(model, environ):
            log.warning("two names of one setting differ", used=name.own, ignored=name.other)

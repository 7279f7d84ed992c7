"""What a check of a contract notes: one line for each rule that a plug-in breaks."""

import dataclasses
import json
import pickle
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import torch

from t2ibench.core import plugins
from t2ibench.core.errors import UserError
from t2ibench.core.records import canonical
from t2ibench.core.settings import configure, recorded

C = TypeVar("C")  # a contract
NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"  # what can be part of a file name, on the board and in a suite
# Values that hardly any setting can have. Of another type than the setting they are refused before the plug-in sees
# them.
WRONG: tuple[Any, ...] = (-1, "no-such-thing", [-1], ["no-such-thing"], {"no-such-key": 1})


class ContractBroken(AssertionError):
    """A plug-in breaks its contract.

    findings: one line for each broken rule: what was found, and what was expected.
    """

    def __init__(self, plugin: str, findings: Sequence[str]) -> None:
        self.findings = list(findings)
        super().__init__("\n".join(f"{plugin}: {line}" for line in findings))


class Findings:
    """The rules that one plug-in breaks.

    plugin: its name.
    lines: one for each broken rule, in the order in which they were found.
    """

    def __init__(self, plugin: str) -> None:
        self.plugin, self.lines = plugin, list[str]()
        self.cause: Exception | None = None

    def expect(self, holds: bool, line: str) -> bool:
        """Note a broken rule once. Returns whether the rule holds."""
        if not holds and line not in self.lines:
            self.lines.append(line)
        return holds

    @contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Note whatever a call of the plug-in raises, and go on."""
        try:
            yield
        except Exception as error:  # what a plug-in raises, of any kind, is what is looked for
            self.cause = self.cause or error
            self.expect(False, f"{what} raised {spelled(error)}")

    def close(self) -> None:
        """Raises ContractBroken if a rule is broken. Its cause is the first exception of the plug-in."""
        if self.lines:
            raise ContractBroken(self.plugin, self.lines) from self.cause


def plugin_of(kind: str, contract: type[C], given: str | ModuleType) -> tuple[Findings, C]:
    """A plug-in by its contract, given by its name or as a module, and the findings about its module.

    Raises UserError for an unknown name, and ContractBroken for a module that lacks what has no default.
    """
    module = plugins.load(kind, given) if isinstance(given, str) else given
    findings = Findings(given if isinstance(given, str) else given.__name__.rpartition(".")[2])
    findings.expect(
        re.fullmatch(NAME, findings.plugin) is not None, "its name has other characters than letters, digits and ._+-"
    )
    findings.expect(bool((module.__doc__ or "").strip()), "has no docstring, whose first line says what it is")
    revision = vars(module).get("REVISION", 1)
    counted = isinstance(revision, int) and revision >= 1
    findings.expect(counted, f"REVISION is {revision!r}, expected a whole number from 1 on")
    try:
        plugin = plugins.by_contract(contract, module, "the module")
    except UserError as error:
        findings.expect(False, str(error))
        raise ContractBroken(findings.plugin, findings.lines) from error
    check_config(findings, module.Config)
    return findings, plugin


def check_config(findings: Findings, config: Any) -> None:
    """Note a class of settings that is no frozen dataclass. Raises ContractBroken for what is no dataclass at all."""
    frozen = dataclasses.is_dataclass(config) and vars(config)["__dataclass_params__"].frozen
    if not findings.expect(frozen, "Config is no frozen dataclass: write @dataclass(frozen=True) above it"):
        findings.close()


def configured(findings: Findings, config: type[C], settings: Mapping[str, Any]) -> C:
    """The settings that the check was given. Raises UserError where they are wrong."""
    made = configure(config, settings, findings.plugin)
    with findings.calling("the settings as JSON, which a record holds,"):
        canonical(recorded(made))
    return made


def check_settings(
    findings: Findings,
    config: type,
    given: Mapping[str, Any],
    wrong: Sequence[Mapping[str, Any]],
    use: Callable[[Any], object],
    refusals: tuple[type[Exception], ...] = (UserError,),
) -> None:
    """Note settings that lead to anything but their use or one line.

    given: the settings that work.
    wrong: settings that must be refused, each beside those that work.
    use: uses a config, and raises one of `refusals` for a wrong one.
    """
    tries = [({field.name: value}, False) for field in dataclasses.fields(config) for value in WRONG]
    for changed, must in [*tries, *((dict(settings), True) for settings in wrong)]:
        said = ", ".join(f"{key}: {value!r}" for key, value in changed.items())
        try:
            made: Any = configure(config, {**given, **changed}, findings.plugin)
            try:
                use(made)
            except refusals as error:
                findings.expect(
                    "\n" not in str(error), f"the error for the setting {said} has several lines, expected one"
                )
            else:
                findings.expect(not must, f"the setting {said} was accepted, expected a UserError")
        except UserError as error:
            findings.expect("\n" not in str(error), f"the error for the setting {said} has several lines, expected one")
        except Exception as error:  # what a plug-in raises, of any kind, is what is looked for
            findings.cause = findings.cause or error
            findings.expect(
                False, f"the setting {said} raised {spelled(error)}: a wrong setting is a UserError in one line"
            )


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Put the global random state back as it was."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


def seed_everything(seed: int) -> None:
    """Put every global generator into another state, so that who uses one gives other numbers."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def random_state() -> dict[str, bytes]:
    """The state of every global generator, by the name of its module."""
    return {
        "random": pickle.dumps(random.getstate()),
        "numpy.random": pickle.dumps(np.random.get_state()),  # noqa: NPY002
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


@contextmanager
def global_state_watched(findings: Findings, what: str) -> Iterator[None]:
    """Note a call that changes the state of a global generator."""
    before = random_state()
    yield
    after = random_state()
    for generator in [name for name in before if before[name] != after[name]]:
        findings.expect(
            False,
            f"{what} changed the global random state of {generator}: "
            "take random numbers from t2ibench.core.seeds, which are of the request's seed",
        )


def spelled(error: Exception) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def as_json(value: Any) -> bool:
    """Whether a value can stand in a record."""
    try:
        json.loads(canonical(value))
    except (TypeError, ValueError):
        return False
    return True

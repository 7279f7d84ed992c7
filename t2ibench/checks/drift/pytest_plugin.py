"""A plugin of pytest: `pytest --t2ibench-drift BASELINE` runs every check of a baseline as a test, beside other tests.

A check that drifts fails. An inconclusive check fails too, unless `--t2ibench-drift-inconclusive=skip` is given. If the
option is not given, nothing is imported.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from t2ibench.checks.drift.gate import Finding, Verdict


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("t2ibench")
    group.addoption(
        "--t2ibench-drift",
        metavar="BASELINE",
        help="a baseline of `t2ibench drift --write`, or `shipped`: its checks are tests",
    )
    group.addoption(
        "--t2ibench-drift-tiers", default="0,1,2", metavar="TIERS", help="0: metrics, 1: features, 2: methods"
    )
    group.addoption(
        "--t2ibench-drift-inconclusive",
        default="fail",
        choices=("fail", "skip"),
        help="what a check is that cannot conclude",
    )


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    name = config.getoption("--t2ibench-drift")
    if name is not None:
        items.extend(Checks.from_parent(session, name="t2ibench-drift", path=_path(name)).collect())


def _path(name: str) -> Path:
    from t2ibench.checks.drift.baseline import SHIPPED

    return SHIPPED if name == "shipped" else Path(name)


class Checks(pytest.Collector):
    """The checks of a baseline, by tier."""

    def collect(self) -> Iterator["Check"]:
        from t2ibench.checks.drift import baseline, methods
        from t2ibench.checks.drift.examine import tiers_of
        from t2ibench.checks.drift.probes import LAYERS, TIERS
        from t2ibench.core.errors import UserError

        try:
            known, tiers = baseline.read(self.path), tiers_of(self.config.getoption("--t2ibench-drift-tiers"))
        except UserError as error:
            raise pytest.UsageError(f"--t2ibench-drift: {error}") from error
        layers = {str(layer): TIERS[layer] for layer in LAYERS}
        names = [(layers[measured.layer], measured.name) for measured in known.measured]
        names += [(2, name) for name in methods.names(known)]
        session = Session(self.path, tiers)
        for tier, name in names:
            if tier in tiers:
                yield Check.from_parent(self, name=f"T{tier} {name}", of=session, wanted=name)


class Session:
    """The verdict that all checks share. It is computed when the first of them runs."""

    def __init__(self, path: Path, tiers: list[int]) -> None:
        self.path, self.tiers = path, tiers
        self._verdict: Verdict | None = None

    @property
    def verdict(self) -> "Verdict":
        from t2ibench.checks.drift.examine import examine

        if self._verdict is None:
            self._verdict = examine(self.path, self.tiers)
        return self._verdict


class Check(pytest.Item):
    """One check."""

    def __init__(self, *, of: Session, wanted: str, **options: Any) -> None:
        super().__init__(**options)
        self.of, self.wanted = of, wanted

    def runtest(self) -> None:
        for finding in self.of.verdict.findings:
            if finding.name == self.wanted or finding.name.startswith(f"{self.wanted}: "):
                self._raise(finding)

    def _raise(self, finding: "Finding") -> None:
        if finding.status == "inconclusive" and self.config.getoption("--t2ibench-drift-inconclusive") == "skip":
            pytest.skip(finding.said)
        if finding.status != "pass":
            raise Drift(f"{finding.name}: {finding.said}\n{self.of.verdict.culprit}".strip())

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        return str(excinfo.value) if isinstance(excinfo.value, Drift) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"drift: {self.name}"


class Drift(Exception):
    """A check that does not pass."""

"""Holds any plug-in to its contract. A test of a plug-in has three lines:

    from t2ibench.checks.contracts import check_method

    def test_it_keeps_the_contract():
        check_method("my_method")

Each check takes a plug-in by its name or as a module, and raises `ContractBroken` with a line for each rule that it
breaks. A check asks for a few small images. They are made-up squares, so it needs no data and no connection; a plug-in
that works on other data only is checked on that (`dataset`).
"""

from t2ibench.checks.contracts.datasets import check_dataset
from t2ibench.checks.contracts.findings import ContractBroken
from t2ibench.checks.contracts.methods import check_method
from t2ibench.checks.contracts.metrics import check_metric

__all__ = ["ContractBroken", "check_dataset", "check_method", "check_metric"]

"""`python -m t2ibench.cli`: the same as the command `t2ibench`."""

from t2ibench.cli import main

main()

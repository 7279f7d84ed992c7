"""The command line, with one file for each verb.

Modules that load PyTorch are imported inside the functions that need them, so that `--help` answers at once.
"""

import io
import os
import sys
import traceback
from typing import Annotated

import typer

from t2ibench.cli import (
    audit,
    cache,
    compare,
    compose,
    convert,
    describe,
    doctor,
    drift,
    exits,
    export,
    fetch,
    generate,
    health,
    listing,
    nearest,
    new,
    report,
    reproduce,
    run,
    score,
    status,
    submit,
    train,
)
from t2ibench.cli.effects import Verb
from t2ibench.core.errors import UserError
from t2ibench.core.offline import VARIABLE, close
from t2ibench.core.storage import of_system
from t2ibench.core.version import __version__

# Idle threads of numerical libraries sleep instead of spinning. This cuts a Fréchet distance on busy cores from 60 s to
# 1 s.
PATIENT = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_THREAD_TIMEOUT": "4"}

app = typer.Typer(
    help="Text-to-image methods through one protocol, and an honest leaderboard.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.command(cls=Verb)(run.run)
app.command(cls=Verb)(status.status)
app.command(cls=Verb)(run.table)
app.command(cls=Verb)(compare.compare)
app.command(cls=Verb)(health.health)
app.command(cls=Verb)(reproduce.reproduce)
app.command(cls=Verb)(drift.drift)
app.add_typer(audit.audit, name="audit")
app.command(cls=Verb)(report.report)
app.command(cls=Verb)(report.view)
app.command(cls=Verb)(export.export)
app.command("import", cls=Verb)(export.import_numbers)
app.command(cls=Verb)(submit.submit)
app.command(cls=Verb)(submit.verify)
app.command(cls=Verb)(generate.generate)
app.command(cls=Verb)(compose.compose)
app.command(cls=Verb)(generate.prompts)
app.command(cls=Verb)(score.score)
app.command(cls=Verb)(nearest.nearest)
app.command(cls=Verb)(train.train)
app.command(cls=Verb)(convert.convert)
app.command(cls=Verb)(fetch.fetch)
app.command("list", cls=Verb)(listing.list_things)
app.command(cls=Verb)(describe.describe)
app.command(cls=Verb)(describe.schema)
app.command(cls=Verb)(new.new)
app.command(cls=Verb)(generate.show)
app.command(cls=Verb)(doctor.doctor)
app.command(cls=Verb)(cache.cache)


def _version(asked: bool) -> None:
    if asked:
        print(f"t2ibench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Open no connection to another machine, whatever asks for one.")
    ] = False,
) -> None:
    """Text-to-image methods through one protocol, and an honest leaderboard."""
    if offline or os.environ.get(VARIABLE):
        close()


def main() -> None:
    """Run a command.

    A UserError is printed as one line, and the exit code is 2. T2IBENCH_TRACEBACK=1 shows its traceback. The exit codes
    are those of `t2ibench.cli.exits`.
    """
    for name, value in PATIENT.items():
        os.environ.setdefault(name, value)
    for stream in (sys.stdout, sys.stderr):  # a terminal of another encoding shows "?" for what it lacks
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    with exits.signals():
        try:
            app()
        except UserError as error:
            if os.environ.get("T2IBENCH_TRACEBACK"):
                raise
            exits.leave(exits.INPUT, str(error))
        except exits.Stopped as stop:
            exits.leave(stop.code, str(stop))
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None and not os.environ.get("T2IBENCH_TRACEBACK"):
                exits.leave(exits.INPUT, of_system(error))
            traceback.print_exc()
            exits.leave(exits.FAULT, "this is a fault of ours: please report it, with the lines above")

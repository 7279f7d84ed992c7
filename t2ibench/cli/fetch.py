"""`fetch`: downloads what may be downloaded, and says of the rest where to click and what to put where."""

import json
from pathlib import Path
from typing import Annotated

import typer

from t2ibench.cli.console import say
from t2ibench.core.errors import UserError


def fetch(
    name: Annotated[str, typer.Argument(help="An asset of `t2ibench list downloads`, or a suite for all of its own.")],
    lock: Annotated[
        Path | None, typer.Option(help="Only write what it needs into this file, with addresses, sizes and hashes.")
    ] = None,
) -> None:
    """Download an asset, check its hash and unpack it. What needs a click on a licence is checked where it lies."""
    from t2ibench.core.storage import publish
    from t2ibench.data import downloads
    from t2ibench.data.dataset import opened

    chosen = downloads.named(name)
    if lock is not None:
        publish(lock, (json.dumps(downloads.lock(chosen), indent=1) + "\n").encode())
        print(f"{lock}: {len(chosen)} assets")
        return
    missing = []
    for asset in chosen:
        if not asset.click:
            print(f"{asset.name}: {downloads.fetch(asset, say)} ({asset.licence})")
            continue
        data = opened(asset.check, asset.settings)
        try:
            splits = [data.split(split) for split in data.splits or ("all",)]
        except UserError as error:
            missing.append(f"{asset.name}: {asset.homepage} ({asset.licence}): {asset.click}. Now: {error}")
            continue
        print(f"{asset.name}: {asset.folder}: {', '.join(f'{split.name} {len(split):,}' for split in splits)}")
    if missing:
        raise UserError("fetch: " + " | ".join(missing))

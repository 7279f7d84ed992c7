"""Records in the forms in which other places collect results: Every Eval Ever, and Hugging Face's eval results.

Only methods are exported, and of these what a board would rank: no partial record, no value whose judge the method
used, and none without a better direction.
"""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from t2ibench.core import records
from t2ibench.core.version import __version__
from t2ibench.report.board import boards, question
from t2ibench.report.site import addresses
from t2ibench.report.verdicts import SELF_REPORTED, Standing

EEE_SCHEMA = "0.3.0"  # of every_eval_ever, the package with the validator
Record = Mapping[str, Any]
File = tuple[str, bytes]  # its name in the folder, and its content
Standings = Mapping[tuple[Any, ...], Standing]


def every_eval_ever(
    rows: Sequence[Record], organization: str, url: str, now: int, standings: Standings
) -> Iterator[File]:
    """A file a record: data/<collection>/<developer>/<model>/<uuid4>.json.

    organization: who hands the numbers in. url: where they stand; empty for nowhere. now: seconds since 1970.
    """
    questions = {column.id: question(column) for board in boards(rows) for column in board.columns}
    for record in rows:
        if left_out(record):
            continue
        collection, developer = f"t2ibench_{addresses.slug(record['suite'])}", addresses.slug(organization)
        model = f"{developer}/{addresses.slug(record['method'])}"
        results = [
            _eee_result(record, id, value, questions.get(id, ""), url)
            for id, value in sorted(record["values"].items())
            if not hidden(record, id)
        ]
        if not results:
            continue
        standing = standings.get(records.cell_of(record), SELF_REPORTED)
        content = {
            "schema_version": EEE_SCHEMA,
            "evaluation_id": f"{collection}/{model.replace('/', '_')}/{now}",
            "retrieved_timestamp": str(now),
            "source_metadata": {
                "source_name": "t2ibench",
                "source_type": "evaluation_run",
                "source_organization_name": organization,
                "evaluator_relationship": "other",
                "additional_details": _texts(standing=standing.state, why=standing.why, record=record["sha256"]),
                **({"source_organization_url": url} if url else {}),
            },
            "eval_library": {"name": "t2ibench", "version": record["code"].get("version") or __version__},
            "model_info": {
                "name": record["method"],
                "id": model,
                "developer": organization,
                "additional_details": {
                    "deployment_type": "self_deployed",
                    "model_availability": "unknown",
                    **_texts(config=record["config"], weights=sorted(w["sha256"] for w in record["weights"].values())),
                },
            },
            "evaluation_results": results,
        }
        text = json.dumps(content, indent=1, ensure_ascii=True, allow_nan=False) + "\n"
        yield f"data/{collection}/{model}/{_uuid(record)}.json", text.encode("ascii")


def _eee_result(record: Record, id: str, value: Mapping[str, Any], asks: str, url: str) -> dict[str, Any]:
    share = "Wilson" in value["interval"]  # a share of hits, which lies in [0, 1]
    low, high = value["ci"]
    place = {"source_type": "url", "url": [url]} if url else {"source_type": "other"}
    return {
        "evaluation_result_id": f"{record['track']}/{id}/{record['seed']}",
        "evaluation_name": f"{record['suite']}/{record['track']}/{id}",
        "source_data": {
            "dataset_name": str(record["dataset"].get("name", record["suite"])),
            **place,
            "additional_details": _texts(prompts=record["prompts"].get("digest", ""), seed=record["seed"]),
        },
        "metric_config": {
            "metric_id": id,
            "metric_name": id,
            **({"evaluation_description": asks} if asks else {}),
            "lower_is_better": value["better"] == "lower",
            "score_type": "continuous",
            "min_score": 0.0 if share else "-Infinity",
            "max_score": 1.0 if share else "Infinity",
            "additional_details": _texts(protocol_id=value["protocol_id"], protocol=value["protocol"]),
        },
        "score_details": {
            "score": value["value"],
            "uncertainty": {
                "confidence_interval": {
                    "lower": low,
                    "upper": high,
                    "confidence_level": 0.95,
                    "method": value["interval"],
                },
                "num_samples": value["n"],
            },
        },
    }


def hugging_face(rows: Sequence[Record], dataset: str, url: str, standings: Standings) -> Iterator[File]:
    """A file a method and suite, for the method's repository on the Hub: <method>/.eval_results/<suite>.yaml.

    The form has no place for an interval, a count or a protocol: they stand in the notes. The Hub takes results only of
    benchmarks that it lists.

    dataset: the id of the benchmark on the Hub. url: where the numbers stand; empty for nowhere.
    """
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for board in boards([record for record in rows if not left_out(record)]):
        for row in board.methods:
            cells = [(board.suite, board.track, row.method, seed) for seed in row.seeds]
            states = sorted({standings.get(cell, SELF_REPORTED).state for cell in cells})
            for column in board.columns:
                cell = row.cells.get(column.id)
                if cell is None or column.better == "none" or cell.note == "made for this judge":
                    continue
                notes = (
                    f"95 % interval {cell.low:.6g} to {cell.high:.6g}, n = {cell.n}, protocol {cell.protocol_id}, "
                    f"{column.better} is better, {len(row.seeds)} run seeds, {' and '.join(states)}, t2ibench"
                )
                entry: dict[str, Any] = {
                    "dataset": {"id": dataset, "task_id": f"{board.track}-{column.id}"},
                    "value": cell.value,
                    "notes": notes,
                }
                found.setdefault((row.method, board.suite), []).append(
                    {**entry, "source": {"url": url, "name": "t2ibench"}} if url else entry
                )
    for (method, suite), entries in found.items():
        text = yaml.safe_dump(entries, sort_keys=False, width=1000)
        yield f"{addresses.slug(method)}/.eval_results/{addresses.slug(suite)}.yaml", text.encode("ascii")


def left_out(record: Record) -> bool:
    """Whether a record is not exported: one of a baseline, or of too few images."""
    return record["kind"] != "method" or record["partial"]


def hidden(record: Record, id: str) -> bool:
    """Whether a value is not exported: the method used its judge, or no direction is better."""
    return id in record["judge_overlap"] or record["values"][id]["better"] == "none"


def _texts(**values: Any) -> dict[str, str]:
    """Details as the form has them, all of them text."""
    return {key: value if isinstance(value, str) else records.canonical(value) for key, value in values.items()}


def _uuid(record: Record) -> str:
    """A UUID of version 4 that a record always gets."""
    return str(uuid.UUID(hex=records.digest([record["sha256"]])[:32], version=4))

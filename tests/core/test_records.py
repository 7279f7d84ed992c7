"""t2ibench/core/records.py: a number without interval, count and protocol does not exist, and a damaged record is not
believed.
"""

import copy
import json

import pytest
from made_records import record, value

from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate


def test_a_record_comes_back_as_it_was_written(tmp_path):
    path = records.path_of(tmp_path, "s", "text_to_image", "painter", 0)
    records.write(record(), path)
    assert records.read(path) == record()
    assert records.load(tmp_path) == [record()]


@pytest.mark.parametrize("key", ["ci", "n", "protocol", "protocol_id", "interval", "better"])
def test_a_value_without_what_is_needed_to_read_it_does_not_validate(key):
    changed = copy.deepcopy(record())
    del changed["values"]["hue"][key]
    with pytest.raises(ValueError, match=f"hue has no {key}"):
        records.validate(records.seal(changed))


@pytest.mark.parametrize("key", sorted(records.REQUIRED))
def test_a_record_without_a_field_does_not_validate(key):
    changed = copy.deepcopy(record())
    del changed[key]
    with pytest.raises(ValueError, match=key):
        records.validate(changed)


def test_a_number_that_is_not_finite_is_refused_everywhere():
    with pytest.raises(ValueError, match="finite"):
        Estimate(float("nan"), (0, 1), 1, "higher", {"k": 5}, "x")
    with pytest.raises(ValueError, match="JSON compliant"):
        record(cost={"seconds_per_image": float("inf")})


def test_counts_that_do_not_add_up_are_refused():
    counts = {"requested": 4, "generated": 4, "ok": 3, "black": 0, "nan": 0, "failed": 0}
    with pytest.raises(ValueError, match="do not add up to the 4 requested"):
        records.validate(record(counts=counts))


def test_any_changed_byte_of_content_is_found(tmp_path):
    path = tmp_path / "records" / "r.json"
    records.write(record(), path)
    text = path.read_text("utf-8")
    for old, new in (('"value": 0.5', '"value": 0.6'), ('"painter"', '"painted"'), (text[-40:], "")):
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")
        with pytest.raises(UserError, match=r"r\.json: not a sound record"):
            records.load(tmp_path)


def test_the_protocol_id_depends_on_every_part_of_the_protocol_and_not_on_its_order():
    ids = {
        Estimate(0, (0, 0), 1, "none", p, "x").to_json("m")["protocol_id"] for p in ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    }
    assert len(ids) == 1
    assert value(protocol="p")["protocol_id"] != value(protocol="q")["protocol_id"]


def test_a_record_is_never_written_over_one_of_other_settings(tmp_path):
    path = tmp_path / "r.json"
    records.write(record(), path)
    records.write(record(cost={"seconds_per_image": 9.0}), path)  # the same cell once more
    before = path.read_bytes()
    with pytest.raises(UserError, match="other settings"):
        records.write(record(identity_of={"a": 2}), path)
    assert path.read_bytes() == before
    records.write(record(identity_of={"a": 2}), path, replace=True)
    assert records.read(path)["identity_of"] == {"a": 2}


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        records.write(record(), tmp_path / "file" / "r.json")


def test_a_folder_without_records_is_one_line(tmp_path):
    with pytest.raises(UserError, match="holds no record"):
        records.load(tmp_path)
    with pytest.raises(UserError, match="is missing"):
        records.load(tmp_path / "nowhere")


def test_what_may_differ_between_two_runs_of_a_cell_is_left_out_of_the_comparison():
    one, other = record(), record(cost={"seconds_per_image": 7.0}, environment={"python": "9"})
    assert one != other
    assert records.comparable(one) == records.comparable(other)
    assert json.dumps(records.comparable(record(seed=1))) != json.dumps(records.comparable(one))

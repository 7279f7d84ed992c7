"""t2ibench/runner/journal.py: what is on disk is what is believed, whatever a kill left behind."""

from dataclasses import replace

import numpy as np
import pytest
from made_outcomes import image, outcome

from t2ibench.core.errors import UserError
from t2ibench.runner import journal
from t2ibench.runner.cell import whole_cost
from t2ibench.runner.journal import Store


def test_images_come_back_pixel_for_pixel_in_the_order_asked(tmp_path):
    store, noise = Store(tmp_path), np.random.default_rng(0).integers(0, 256, (3, 4, 5), np.uint8)
    store.save("a", noise)
    store.save("b", image(7))
    for reader in (store, Store(tmp_path)):  # from what it has just saved, and from the files
        np.testing.assert_array_equal(reader.read(["b", "a"]), np.stack([image(7), noise]))


def test_a_store_keeps_no_more_pixels_than_it_may(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "KEPT", 2 * image(0).nbytes)
    store = Store(tmp_path)
    for value, name in enumerate("abca"):  # the second `a` takes the place of the first
        store.save(name, image(value))
    assert sorted(store._kept) == ["a", "b"]
    np.testing.assert_array_equal(store.read(["a", "b", "c"]), np.stack([image(3), image(1), image(2)]))


def test_a_torn_last_line_is_as_if_it_had_not_been_written_and_the_next_batch_follows_whole(tmp_path):
    store = Store(tmp_path)
    first, second, third = (outcome(store, name, 9) for name in "abc")
    store.append([first, second])
    whole = store.path.read_bytes()
    for cut in range(len(whole.split(b"\n")[0]) + 2, len(whole)):  # any place within the second line
        store.path.write_bytes(whole[:cut])
        held = {"a", "b"} if cut == len(whole) - 1 else {"a"}  # without its line end the second line is complete
        assert set(store.outcomes()) == held
        store.append([third])
        assert set(store.outcomes()) == held | {"c"}


def test_an_image_that_is_lost_damaged_or_changed_does_not_count(tmp_path):
    store = Store(tmp_path)
    outcomes = [outcome(store, name, 50) for name in "abcd"]
    store.append(outcomes)
    store.image_path("a").unlink()
    store.image_path("b").write_bytes(store.image_path("b").read_bytes()[:40])
    store.save("c", image(51))
    assert set(store.sound({name: "a text" for name in "abcd"})) == {"d"}


def test_an_image_of_another_source_does_not_count(tmp_path):
    store = Store(tmp_path)
    store.append([outcome(store, "a", 1), outcome(store, "b", 1, "another text")])
    assert set(store.sound({"a": "a text", "b": "a text"})) == {"a"}


def test_the_last_line_of_a_sample_counts_and_a_failure_needs_no_file(tmp_path):
    store = Store(tmp_path)
    good = outcome(store, "a", 1)
    store.append([good])
    store.append([replace(good, status="failed", sha256="", message="why")])
    assert store.sound({"a": "a text"})["a"].message == "why"


def test_images_of_two_sizes_are_one_line(tmp_path):
    store = Store(tmp_path)
    store.save("a", image(1))
    store.save("b", image(1)[:, :2])
    with pytest.raises(UserError, match="images of 5x2 and 5x4 pixels, expected one size"):
        store.read(["a", "b"])


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        Store(tmp_path / "file" / "cell")


def test_what_was_spent_is_in_the_journal_once_for_each_account(tmp_path):
    store = Store(tmp_path)
    first, second, third = (outcome(store, name, 9) for name in "abc")
    account = {"training_seconds_per_prompt": 2.0, "prompts_trained": 3.0}
    store.append([first], account)
    store.append([second], account)
    assert store.path.read_bytes().count(b'"cost"') == 1
    store.append([third], {**account, "prompts_trained": 4.0})
    assert set(Store(tmp_path).outcomes()) == {"a", "b", "c"}
    assert Store(tmp_path).cost() == {**account, "prompts_trained": 4.0}


def test_a_damaged_account_is_not_believed(tmp_path, caplog):
    store = Store(tmp_path)
    store.append([outcome(store, "a", 9)], {"prompts_trained": 3.0})
    store.path.write_bytes(store.path.read_bytes().replace(b": 3.0", b": 7.0"))
    assert Store(tmp_path).cost() == {}
    assert set(Store(tmp_path).outcomes()) == {"a"}
    assert "damaged" in caplog.text


def test_a_journal_without_accounts_has_none(tmp_path):
    store = Store(tmp_path)
    assert store.cost() == {}
    store.append([outcome(store, "a", 9)])
    assert store.cost() == {}


def test_accounts_of_processes_one_after_the_other_are_added(tmp_path, monkeypatch):
    for number, trained in enumerate((3, 2, 5)):  # each was killed after its last batch
        monkeypatch.setattr(journal, "PROCESS", f"process {number}")
        store = Store(tmp_path)
        for done in range(1, trained + 1):
            account = {"training_seconds": 2.0 * done, "prompts_trained": done, "training_seconds_per_prompt": 2.0}
            store.append([outcome(store, f"{number} {done}", 9)], account)
    whole = {"training_seconds": 20.0, "prompts_trained": 10, "training_seconds_per_prompt": 2.0}
    assert Store(tmp_path).cost() == whole
    part = Store(tmp_path, "1")
    part.append(
        [outcome(part, "x", 9)], {"training_seconds": 4.0, "prompts_trained": 2, "training_seconds_per_prompt": 2.0}
    )
    for _ in range(2):  # merging sums what is there, and no account counts twice
        Store(tmp_path).merge(Store(tmp_path).outcomes().values())
        assert Store(tmp_path).cost() == {**whole, "training_seconds": 24.0, "prompts_trained": 12}
    # a text on both sides of a kill is in two accounts, and counts once
    assert whole_cost(Store(tmp_path).cost(), {}, 10) == whole

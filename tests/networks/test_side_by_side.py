"""Two batches at once: order, errors, and settings of torch that stay as they were."""

import threading

import pytest
import torch

from t2ibench.core.errors import UserError
from t2ibench.networks.side_by_side import side_by_side


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_items_and_without_gradients(four_threads):
    weight = torch.nn.Parameter(torch.eye(3))
    results = list(side_by_side(lambda row: torch.full((1, 3), float(row)) @ weight, range(20)))
    assert [float(result[0, 0]) for result in results] == list(range(20))
    assert not any(result.requires_grad for result in results)


def test_two_items_are_worked_on_at_once(four_threads):
    both = threading.Barrier(2, timeout=20)  # broken, which raises, unless two calls are inside at the same time
    assert list(side_by_side(lambda row: both.wait() >= 0, range(4))) == [True] * 4


def test_each_of_the_two_has_half_of_the_threads_and_all_are_there_afterwards(four_threads):
    assert set(side_by_side(lambda row: torch.get_num_threads(), range(8))) == {2}
    assert torch.get_num_threads() == 4
    of_another = []
    thread = threading.Thread(target=lambda: of_another.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert of_another == [4]


def test_a_process_of_one_thread_works_on_one_item_at_a_time():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert set(side_by_side(lambda row: threading.get_ident(), range(4))) == {threading.get_ident()}
    finally:
        torch.set_num_threads(before)


def test_an_error_is_raised_and_no_further_item_is_begun(four_threads):
    begun = []

    def work(row: int) -> int:
        begun.append(row)
        if row == 1:
            raise UserError("row 1 is broken")
        return row

    with pytest.raises(UserError, match="row 1"):
        list(side_by_side(work, range(10_000)))
    assert len(begun) < 10_000
    assert torch.get_num_threads() == 4


def test_the_precision_of_products_is_as_before(four_threads):
    from t2ibench.networks.precision import full_float32

    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    kept = cudnn.allow_tf32, products.allow_tf32
    cudnn.allow_tf32, products.allow_tf32 = True, True
    try:
        list(side_by_side(full_float32()(lambda row: row), range(200)))
        assert (cudnn.allow_tf32, products.allow_tf32) == (True, True)
    finally:
        cudnn.allow_tf32, products.allow_tf32 = kept

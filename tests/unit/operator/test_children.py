import pytest

from modelyard_operator.children import covers, with_hash
from modelyard_operator.quantity import equal_quantities

PORT = {"containerPort": 8080, "name": "http"}


@pytest.mark.parametrize(
    ("live", "wanted", "answer"),
    [
        pytest.param({"a": 1, "b": 2}, {"a": 1}, True, id="what-others-added-does-not-count"),
        pytest.param({"a": 1}, {"a": 2}, False, id="another-value"),
        pytest.param({}, {"a": 1}, False, id="a-missing-field"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, True, id="deep-down-too"),
        pytest.param(["x", "y"], ["x", "y"], True, id="equal-plain-lists"),
        pytest.param(["x", "y", "z"], ["x", "y"], False, id="a-longer-plain-list"),
        pytest.param(["y", "x"], ["x", "y"], False, id="another-order-of-plain-items"),
        pytest.param(
            [{"name": "mesh"}, {"name": "main", "image": "x"}],
            [{"name": "main", "image": "x"}],
            True,
            id="a-container-that-somebody-injected",
        ),
        pytest.param(
            [{"name": "main", "image": "y"}],
            [{"name": "main", "image": "x"}],
            False,
            id="another-image",
        ),
        pytest.param([PORT | {"protocol": "TCP"}], [PORT], True, id="a-defaulted-port"),
        pytest.param([], [PORT], False, id="a-missing-item"),
        pytest.param({"cpu": "1"}, {"cpu": "1000m"}, True, id="a-quantity-in-other-words"),
        pytest.param({"memory": "1Gi"}, {"memory": "1024Mi"}, True, id="binary-units"),
        pytest.param({"memory": "1G"}, {"memory": "1Gi"}, False, id="two-kinds-of-giga"),
        pytest.param(None, {"a": 1}, False, id="nothing-lives"),
    ],
)
def test_whether_what_lives_says_what_is_wanted(live, wanted, answer):
    assert covers(live, wanted) is answer


@pytest.mark.parametrize(("one", "other"), [("0.5", "500m"), ("2", "2000m"), ("1k", "1000")])
def test_quantities_are_compared_by_amount(one, other):
    assert equal_quantities(one, other)


def test_words_are_no_quantities():
    assert not equal_quantities("all", "none")
    assert not equal_quantities(1, "1")


def test_the_hash_changes_with_the_content_and_only_then():
    obj = {"kind": "X", "metadata": {"name": "a"}, "data": {"size": "1"}}
    again = {"data": {"size": "1"}, "metadata": {"name": "a"}, "kind": "X"}

    assert with_hash(obj) == with_hash(again)
    assert with_hash(obj)["metadata"] != with_hash(obj | {"data": {}})["metadata"]

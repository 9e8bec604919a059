from auscult.config.flatten import ABSENT, Difference, differences, differing_keys, flatten, leaves

SETTINGS = {"a": {}, "b": [], "c": [[1, 2], [3]], "d": {"e.f": {"..": 1}}, "g": [{"x": 1}, {"x": {"y": 2}}]}


def test_every_leaf_has_one_key():
    assert flatten(SETTINGS) == {"a": {}, "b": [], "c": [[1, 2], [3]], "d.e.f...": 1, "g": SETTINGS["g"]}
    assert flatten({"g": SETTINGS["g"]}, numbers_sections=True) == {"g.1.x": 1, "g.2.x.y": 2}
    # A name with a dot is told from two names by its parts.
    assert dict(leaves(SETTINGS))["d", "e.f", ".."] == 1


def test_keys_that_only_some_have_differ():
    flat = [{"a": 1, "b": None}, {"a": 1}, {"c": 2, "a": 1, "b": None}]
    assert differing_keys(flat) == ["b", "c"]
    assert differing_keys(flat[:1]) == []


def test_lists_and_sections_are_compared_entry_by_entry():
    assert differences([{"name": "mixup"}], [{"name": "mixup"}, {"name": "augmix"}]) == [
        Difference("2", ABSENT, {"name": "augmix"})
    ]
    assert differences({"a": {"b": 1}}, {"a": 3}) == [Difference("a", {"b": 1}, 3)]
    assert differences(SETTINGS, SETTINGS) == []
    assert str(*differences(1, 2)) == "all: 1 -> 2"
    assert str(*differences({"a": "x" * 61}, {"a": None})) == f"a: {'x' * 57}... -> none"

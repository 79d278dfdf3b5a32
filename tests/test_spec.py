"""Names of classes."""

import pytest

from zoo.spec import DatasetSpec


def spec(*names):
    return DatasetSpec(name="set", class_names=names, class_colors=((0, 0, 0),) * len(names), label_to_train_id={})


@pytest.mark.parametrize("name", ["traffic light", "Traffic Light", "traffic_light", "TRAFFIC-LIGHT", "trafficlight"])
def test_a_name_is_the_same_however_its_words_are_joined(name):
    assert spec("sky", "traffic light").train_ids_of([name]) == (1,)
    assert spec("sky", name).train_ids_of(["traffic light"]) == (1,)


def test_synonyms():
    ours = spec("car", "bus")
    assert ours.train_ids_of(["car, auto, automobile", "coach; bus", "tram"]) == (0, 1, 255)
    assert ours.train_ids_of(["truck, car", "car"]) == (255, 0), "a class of its own goes before"
    assert spec("car, auto, automobile", "sky").train_ids_of(["automobile", "sky"]) == (0, 1)


def test_what_only_looks_alike_is_another():
    assert spec("train", "truck").train_ids_of(["trainer", "rail track", ""]) == (255, 255, 255)

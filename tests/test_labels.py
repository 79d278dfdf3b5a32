from cityscapesscripts.helpers.labels import labels as official

from zoo.labels import CITYSCAPES, LABELS, TRAIN_ID_TO_LABEL_ID


def test_table_equals_the_official_one():
    assert [tuple(label) for label in LABELS] == [tuple(label) for label in official]


def test_spec_has_the_19_official_classes():
    by_train_id = {label.trainId: label for label in official if label.trainId not in (255, -1)}
    assert CITYSCAPES.num_classes == 19
    for train_id in range(19):
        label = by_train_id[train_id]
        assert CITYSCAPES.class_names[train_id] == label.name
        assert CITYSCAPES.class_colors[train_id] == label.color
        assert CITYSCAPES.class_categories[train_id] == label.category


def test_every_drawable_label_has_a_train_id_and_void_is_ignored():
    assert CITYSCAPES.label_to_train_id == {
        label.id: 255 if label.ignoreInEval else label.trainId for label in official if label.id >= 0
    }


def test_train_ids_lead_back_to_label_ids():
    for train_id, label_id in TRAIN_ID_TO_LABEL_ID.items():
        assert CITYSCAPES.label_to_train_id[label_id] == train_id
    assert len(TRAIN_ID_TO_LABEL_ID) == 20

import copy

import pytest
from pytorch_lightning import LightningModule
from torch import nn

from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators.backbone import find_backbone


def frozen(module):
    return module.requires_grad_(False)


class Method(LightningModule):
    """A training method whose parts are given by name."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


class MSN(LightningModule):
    """Names as in lightly's example: the trained encoder is the anchor's."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv2d(3, 4, 3)
        self.projection_head = nn.Linear(4, 2)
        self.anchor_backbone = copy.deepcopy(self.backbone)
        self.anchor_projection_head = copy.deepcopy(self.projection_head)
        frozen(self.backbone)
        frozen(self.projection_head)


@pytest.mark.parametrize(
    "name",
    [
        "backbone",
        "student_backbone",
        "online_backbone",
        "anchor_backbone",
        "encoder",
        "online_encoder",
        "student",
        "vit",
        "model",
    ],
)
def test_an_encoder_of_a_usual_name_is_found(name):
    encoder = nn.Linear(2, 2)
    module = Method(projection_head=nn.Linear(2, 2), **{name: encoder})
    found = find_backbone(module)
    assert found.name == name
    assert found.module is encoder


def test_the_backbone_goes_before_what_else_is_trained():
    module = Method(
        model=nn.Linear(2, 2),
        vit=nn.Linear(2, 2),
        student_backbone=nn.Linear(2, 2),
        backbone=nn.Linear(2, 2),
    )
    assert find_backbone(module) == ("backbone", module.backbone)


def test_of_a_byol_the_trained_backbone_is_found():
    backbone = nn.Linear(2, 2)
    module = Method(
        backbone_momentum=frozen(copy.deepcopy(backbone)), backbone=backbone
    )
    assert find_backbone(module) == ("backbone", backbone)


def test_of_a_dino_the_student_is_found():
    student = nn.Linear(2, 2)
    module = Method(
        teacher_backbone=frozen(copy.deepcopy(student)), student_backbone=student
    )
    assert find_backbone(module) == ("student_backbone", student)


def test_of_an_msn_the_anchor_is_found_and_not_the_frozen_backbone():
    module = MSN()
    found = find_backbone(module)
    assert found.name == "anchor_backbone"
    assert found.module is module.anchor_backbone


def test_one_weight_that_is_trained_suffices():
    backbone = frozen(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
    backbone[1].bias.requires_grad_(True)
    module = Method(backbone=backbone, student_backbone=nn.Linear(2, 2))
    assert find_backbone(module).module is backbone


def test_what_has_the_name_but_is_no_module_is_passed_over():
    module = Method(backbone="resnet18", model=nn.Linear(2, 2))
    assert find_backbone(module).name == "model"


def test_an_encoder_without_weights_is_passed_over():
    module = Method(backbone=nn.Identity(), encoder=nn.Linear(2, 2))
    assert find_backbone(module).name == "encoder"


def test_a_name_goes_before_all_rules():
    module = MSN()
    assert find_backbone(module, "backbone") == ("backbone", module.backbone)


def test_a_dotted_name_reaches_inside():
    inner = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    module = Method(backbone=nn.ModuleDict({"trunk": inner}))
    found = find_backbone(module, "backbone.trunk.1")
    assert found == ("backbone.trunk.1", inner[1])


def test_a_function_gives_the_encoder_and_its_name_is_found():
    inner = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    module = Method(net=nn.ModuleDict({"trunk": inner}))
    found = find_backbone(module, lambda method: method.net["trunk"])
    assert found.name == "net.trunk"
    assert found.module is inner


@pytest.mark.parametrize("name", ["student_backbone", "backbone.9", "training"])
def test_a_wrong_name_gives_the_names_that_there_are(name):
    module = Method(backbone=nn.Linear(2, 2), projection_head=nn.Linear(2, 2))
    with pytest.raises(MemorizationError) as error:
        find_backbone(module, name)
    message = str(error.value)
    assert repr(name) in message
    assert "Method has backbone, projection_head." in message
    assert "function" in message


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (lambda method: None, "NoneType"),
        (lambda method: "backbone", "str"),
        (lambda method: nn.Conv1d(1, 1, 1), "Conv1d"),
        (lambda method: copy.deepcopy(method.backbone), "Linear"),
    ],
)
def test_a_function_must_give_a_module_of_the_method(function, given):
    module = Method(backbone=nn.Linear(2, 2))
    with pytest.raises(
        MemorizationError, match=f"returned a {given}.* not a submodule of Method"
    ):
        find_backbone(module, function)


def test_an_encoder_that_cannot_be_told_is_asked_for():
    module = Method(trunk=nn.Linear(2, 2), top=nn.Linear(2, 2))
    with pytest.raises(MemorizationError) as error:
        find_backbone(module)
    message = str(error.value)
    assert "Method has trunk, top." in message
    assert "backbone='" in message


def test_a_method_of_frozen_encoders_is_refused():
    module = Method(backbone=frozen(nn.Linear(2, 2)))
    with pytest.raises(MemorizationError, match=r"Method has backbone\."):
        find_backbone(module)


def test_a_method_without_parts_is_refused():
    with pytest.raises(MemorizationError, match=r"Method has none\."):
        find_backbone(Method())

"""What a stage needs comes from params.yaml."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from bertline.base.config import Finetune, Params, Pretrain, Task
from pipelines import resources
from pipelines.resources import Limits, Needs, fits, hold_gpus, needs_of


def test_a_stage_needs_its_threads_or_a_gpu() -> None:
    tasks = {"a": Task(), "b": Task(finetune={"device": "cuda"})}
    pretrain, finetune = Pretrain(device="cuda", processes=2), Finetune(threads=4)
    params = Params(pretrain=pretrain, finetune=finetune, tasks=tasks, transfer={"b": "a"})
    needs = needs_of(["download", "task@a", "pretrain", "finetune@a", "finetune@b", "transfer@b", "evaluate@b"], params)
    assert needs == {
        "download": Needs(cpu=1),
        "task@a": Needs(cpu=1),
        "pretrain": Needs(cpu=1, gpu=2),
        "finetune@a": Needs(cpu=4),
        "finetune@b": Needs(cpu=1, gpu=1),
        "transfer@b": Needs(cpu=1, gpu=1),
        "evaluate@b": Needs(cpu=1),  # scores files
    }
    on_cores = replace(params, pretrain=Pretrain(threads=4, processes=2))
    assert needs_of(["pretrain"], on_cores)["pretrain"] == Needs(cpu=8)  # each process has its threads
    on_gpu = replace(params, finetune=Finetune(device="cuda"))
    assert needs_of(["finetune@a"], on_gpu)["finetune@a"].gpu == 1


def test_limits_hold_for_cores_and_gpus_together() -> None:
    limits = Limits(cpu=4, gpu=1)
    assert fits(Needs(cpu=2), [Needs(cpu=2)], limits)
    assert not fits(Needs(cpu=3), [Needs(cpu=2)], limits)
    assert fits(Needs(gpu=1), [Needs(cpu=3)], limits)
    assert not fits(Needs(gpu=1), [Needs(gpu=1)], limits)
    assert Needs(cpu=9, gpu=4).within(limits) == Needs(cpu=4, gpu=1)


@pytest.mark.parametrize("wrong", [{"cpu": 0}, {"gpu": -1}, {"cpu": "two"}, {"cores": 2}])
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Limits(**wrong)  # type: ignore[arg-type]


@pytest.mark.usefixtures("own_machine")
@pytest.mark.parametrize(
    ("visible", "given"), [("", ""), (" ", ""), ("-1", "-1"), ("3", "3"), ("3,5", "3"), ("GPU-1a,", "GPU-1a")]
)
def test_a_stage_gets_a_gpu_of_those_that_are_visible_and_none_where_none_is(
    visible: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with hold_gpus(1, 4, lambda: False, print) as gpus:
        assert gpus.devices == given


@pytest.mark.usefixtures("own_machine")
def test_a_run_waits_for_the_gpus_that_it_may_use_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_POLL_SECONDS", 0.0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    said, patience = list[str](), iter((True, True, False))
    with (
        hold_gpus(1, 1, lambda: False, print),
        pytest.raises(InterruptedError),
        hold_gpus(1, 1, lambda: next(patience), said.append),  # though a second one is free
    ):
        pass
    assert said == ["waits for 1 of 1 GPUs, which other runs use"]

"""A checkout in which stage finetune can run: a tiny pre-trained model, a toy task of every kind, earlier reports."""

from pathlib import Path

from bertline.base.artifacts import Artifacts
from bertline.base.files import write_json, write_json_rows
from toy_tasks import KINDS, write_pretrained, write_toy_task


def prepare_checkout(root: Path) -> Artifacts:
    artifacts = Artifacts(root)
    write_pretrained(artifacts.pretrained)
    for kind in KINDS:
        write_toy_task(artifacts.task(f"toy_{kind}"), kind)
    write_reports(artifacts)
    return artifacts


def write_reports(artifacts: Artifacts) -> None:
    """What the stages before finetune report."""
    write_json(artifacts.metrics("documents"), {"train_documents": 10, "validation_documents": 1})
    write_json(artifacts.metrics("encode"), {"train_tokens": 1000, "unigram_entropy": 5.0})
    figures = {"mlm_loss": 4.0, "mlm_accuracy": 0.3, "nsp_loss": 0.6, "nsp_accuracy": 0.7}
    pretrain = {"steps": 10, "tokens": 640, "parameters": 1234, "train": figures, "validation": figures}
    write_json(artifacts.metrics("pretrain"), pretrain)
    curve = [{"step": step, "mlm_loss": 6 - step / 10, "learning_rate": 1e-3} for step in range(1, 11)]
    write_json_rows(artifacts.curve("pretrain"), curve)
    write_json_rows(artifacts.report("pretrain") / "validation_curve.json", [{"step": 10, "mlm_loss": 4.0}])

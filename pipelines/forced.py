"""Which stages a run with `force` has run: a retry of it goes on from there, and trains nothing a second time."""

from dataclasses import dataclass
from pathlib import Path

from bertline.base.artifacts import Artifacts


@dataclass(frozen=True)
class Forced:
    """The stages of one flow run that have run although nothing had changed: a line each, in a file.

    Attributes:
        file: the lines; absent, where no stage has run yet.
    """

    file: Path

    @classmethod
    def by(cls, flow_run: str, root: Path) -> "Forced":
        """Those of a flow run, which has the same id for each of its tries, in the place where it works."""
        return cls(Artifacts(root).runs / f"forced-{flow_run}")

    def done(self) -> frozenset[str]:
        """The stages that have run."""
        return frozenset(self.file.read_text(encoding="utf-8").splitlines() if self.file.is_file() else ())

    def note(self, stage: str) -> None:
        """Remember that a stage has run; stages side by side may say so at once."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as lines:
            lines.write(f"{stage}\n")

    def forget(self) -> None:
        """The run has ended well."""
        self.file.unlink(missing_ok=True)

"""The files of a model in Hugging Face format: config.json, and weights in safetensors, in one file or in shards."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bertline.base.errors import BertlineError
from bertline.base.files import read_json
from bertline.model.hf_names import normalize

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"


def model_files(directory: Path) -> list[Path]:
    """The files that a model is read from: config.json, and its weights.

    Raises:
        BertlineError: there are no weights, or only pickled ones.
    """
    index = [directory / INDEX_FILE] if not (directory / WEIGHTS_FILE).is_file() else []
    return [directory / CONFIG_FILE, *index, *(directory / name for name in _weight_files(directory))]


def _weight_files(directory: Path) -> list[str]:
    if (directory / WEIGHTS_FILE).is_file():
        return [WEIGHTS_FILE]
    if (directory / INDEX_FILE).is_file():
        return _shards(directory / INDEX_FILE)
    pickled = sorted(file.name for file in directory.glob("*.bin"))
    what = f"weights only as {pickled[0]}, a pickle, which is not read" if pickled else f"no {WEIGHTS_FILE}"
    fix = "Save the model anew with transformers 5, which writes safetensors"
    raise BertlineError(what, where=str(directory), fix=fix)


def read_weights(directory: Path) -> dict[str, Tensor]:
    """All weights of a directory, one file or shards, under the names that transformers 5 writes.

    Raises:
        BertlineError: as model_files; or a file is missing or malformed.
    """
    weights: dict[str, Tensor] = {}
    for name in _weight_files(directory):
        try:
            weights.update(load_file(directory / name))
        except (SafetensorError, FileNotFoundError) as error:
            fix = "Fetch or write the file anew"
            raise BertlineError(
                f"not a readable safetensors file ({error})", where=str(directory / name), fix=fix
            ) from None
    return normalize(weights)


def _shards(index: Path) -> list[str]:
    """The files that an index names: in its own directory, or they are refused."""
    found = read_json(index)
    places = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(places, dict) or any(
        not isinstance(name, str) or Path(name).name != name or Path(name).suffix != ".safetensors"
        for name in places.values()
    ):
        what = "weight_map must name a file beside it, .safetensors, for every weight"
        raise BertlineError(what, where=str(index), fix="Fetch or write the file anew")
    return sorted(set(places.values()))

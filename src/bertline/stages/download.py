"""Stage download: the sources of section `download`, fetched into data/raw with a manifest of what they are."""

from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import atomic_directory, write_json
from bertline.base.stage import main
from bertline.corpus.readers import MANIFEST
from bertline.corpus.sources import Places, check_apart, fetch


def run(params: Params, artifacts: Artifacts) -> dict[str, Any]:
    """Fetch every source, check it, and write data/raw with its manifest.json."""
    places = Places.of(artifacts)
    with atomic_directory(artifacts.raw) as directory:
        sources = [row for source in params.download.sources for row in fetch(source, directory, places)]
        check_apart(sources)
        write_json(directory / MANIFEST, {"sources": sources})
    return {"sources": len(sources), "bytes": sum(source["bytes"] for source in sources)}


if __name__ == "__main__":
    main(run)

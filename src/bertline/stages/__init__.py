"""One thin file a DVC stage: file name = stage name = section of params.yaml. Run one with `bertline STAGE`."""

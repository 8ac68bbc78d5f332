"""From text to ids: WordPiece training, encoding, and the memory-mapped token store."""

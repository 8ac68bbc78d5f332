"""A model and a tokenizer that do not belong together give plausible nonsense: refused before any work."""

from tokenizers import Tokenizer

from bertline.base.errors import BertlineError


def check_vocabulary(vocab_size: int, tokenizer: Tokenizer, where: str) -> None:
    """Refuse a tokenizer whose ids are not those of the model's embeddings.

    Raises:
        BertlineError: model and tokenizer have vocabularies of different sizes.
    """
    entries = tokenizer.get_vocab_size()
    if vocab_size != entries:
        what = f"the model has {vocab_size:,} token embeddings, its tokenizer {entries:,} entries"
        fix = "Put the tokenizer files that the model was trained with beside it"
        if vocab_size > entries:  # as Megatron does, for round matrices
            fix += (
                f"; of embeddings that were padded, transformers' resize_token_embeddings({entries}) takes what is over"
            )
        raise BertlineError(what, where=where, fix=fix)

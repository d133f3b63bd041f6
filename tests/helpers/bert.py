"""A small BERT of random weights, and its tokenizer of letters and a few words."""

import tokenizers
import torch
import transformers

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{letter}" for letter in LETTERS), "cat", "dog", "sun"]
SMALL = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,  # or all texts would have nearly the same row
}
LIMIT = 48  # of the small tokenizer


def save_tokenizer(folder, vocabulary=VOCABULARY, specials=True, limit=LIMIT):
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    if specials:
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    tokenizer.enable_truncation(5)  # what a file says of cutting and filling up must not count
    tokenizer.enable_padding(length=9)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    limits = {} if limit is None else {"model_max_length": limit}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, **limits).save_pretrained(folder)


def save_weights(folder, kind="bert", cls=transformers.AutoModel, seed=0, **fields):
    torch.manual_seed(seed)
    module = cls.from_config(transformers.AutoConfig.for_model(kind, **{**SMALL, **fields}))
    transformers.utils.logging.disable_progress_bar()
    module.save_pretrained(folder)
    return module

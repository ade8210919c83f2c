"""Translate by greedy decoding with onnxruntime and tokenizers alone, from the two files of an exported translator.

zoo export lstm_seq2seq.fra_eng_plain --output translator.onnx
python scripts/translate_onnx.py translator "Il fait beau." "Je ne sais pas."
"""

import sys

import numpy as np
import onnxruntime
import tokenizers


def main(stem: str, *sentences: str) -> None:
    encoder, decoder = (onnxruntime.InferenceSession(f"{stem}.{part}.onnx") for part in ("encoder", "decoder"))
    tokenizer = tokenizers.Tokenizer.from_str(encoder.get_modelmeta().custom_metadata_map["tokenizer"])
    start, end = map(tokenizer.token_to_id, ("<s>", "</s>"))
    for sentence in sentences:
        src = [start, *tokenizer.encode(sentence, add_special_tokens=False).ids, end]
        values = {"src": np.array([src]), "token": np.array([start])}
        values |= zip([each.name for each in encoder.get_outputs()], encoder.run(None, {"src": values["src"]}))
        written: list[int] = []
        while len(written) < 2 * len(src) + 10 and written[-1:] != [end]:
            found = decoder.run(None, {each.name: values[each.name] for each in decoder.get_inputs()})
            after = dict(zip([each.name.removeprefix("new_") for each in decoder.get_outputs()], found))
            values |= {**after, "token": after["scores"].argmax(1)}
            written.append(int(values["token"][0]))
        print(tokenizer.decode([token for token in written if token > end], skip_special_tokens=False))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Draw what the shipped models of texts, heartbeats and photographs answer.

Photographs and recordings are those of the test splits. `captions` and `attention_maps` show every 125th photograph of
the list, so that successes and failures are shown as they come.
"""

import numpy as np
import torch
from figure_files import save_figures
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import zoo
from datamodules.base import data_root
from datamodules.ecg.records import order_leads, read_record
from datamodules.text.vocabulary import START
from zoo.baselines.captions import pictures_of
from zoo.figures.attention import attention_map
from zoo.figures.captions import attention_grid, caption_grid
from zoo.figures.ecg import record_strips

REVIEWS = (
    "I don't think it's a bad film at all!",
    "A good cast cannot save this dull and lifeless story.",
    "It starts slowly, but the last hour is wonderful.",
)
LINE = "To be, or not to be, that is the question:"
SENTENCE = "Il a acheté une voiture rouge la semaine dernière."
RECORD = "233"
"""Record of the MIT-BIH test set with beats of several classes."""
EVERY = 125
"""One photograph of so many of the test list is drawn."""
MAPPED = 3
"""Number of photographs with attention maps."""


def draw_sentiment() -> Figure:
    """Draw the probability of a positive review after each word of it."""
    model = zoo.create_model("lstm_classifier.sst2", pretrained=True)
    figure = Figure(figsize=(9, 2.2 * len(REVIEWS)), layout="constrained")
    figure.suptitle("lstm_classifier.sst2: what it has read so far, classified")
    for axes, review in zip(figure.subplots(len(REVIEWS), 1), REVIEWS):
        words = review.split()
        found = model.classify([" ".join(words[: k + 1]) for k in range(len(words))])
        values = [each.probability if each.label == "positive" else 1 - each.probability for each in found]
        colours = ["tab:green" if value > 0.5 else "tab:red" for value in values]
        axes.bar(range(len(words)), values, color=colours)
        axes.axhline(0.5, color="black", linewidth=0.7)
        axes.set_xticks(range(len(words)), words, parse_math=False)
        axes.set(ylim=(0, 1), ylabel="P(positive)")
    axes.set_xlabel("last word read")
    return figure


@torch.no_grad()
def draw_surprise() -> Figure:
    """Draw what each character of a line costs, in nats."""
    model = zoo.create_model("lstm_language_model.tinyshakespeare", pretrained=True)
    row, _ = model.prompts.sequence("\n" + LINE)
    ids = torch.tensor([row])
    scores, _ = model.net.extend(ids[:, :-1], None)
    nats = -scores[0].log_softmax(1).gather(1, ids[0, 1:, None])[:, 0]
    figure = Figure(figsize=(11, 3), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(len(LINE)), nats[-len(LINE) :].numpy())
    axes.set_xticks(range(len(LINE)), [mark.replace(" ", "\u2423") for mark in LINE])
    title = "lstm_language_model.tinyshakespeare: -log p(character | those before)"
    axes.set(title=title, xlabel="character", ylabel="nats")
    axes.margins(x=0.01)
    return figure


@torch.no_grad()
def draw_alignment() -> Figure:
    """Draw the attention weights of a translation."""
    model = zoo.create_model("lstm_seq2seq.fra_eng", pretrained=True)
    [src] = model.vocabulary.encode([SENTENCE])
    source = torch.tensor([src])
    [written] = model.translated(source, decoding="greedy")
    begun = torch.cat([torch.tensor([START]), written[:-1]])[None]
    figure = attention_map(model.vocabulary, src, written.tolist(), model.attention(source, begun)[0].float())
    figure.axes[0].set_title("lstm_seq2seq.fra_eng: attention of each target token")
    return figure


def draw_beats() -> Figure:
    """Draw beats of a recording of a test patient, as the heartbeat classifier annotates them."""
    record = order_leads(read_record(data_root(None) / "mitdb" / "1.0.0" / RECORD))
    model = zoo.create_model("ecg_classifier.mitbih", pretrained=True)
    found = model.annotate(record.signal, record.fs, leads=record.leads)
    return record_strips(record.signal, record.fs, found, f"Record {RECORD}", record.leads)


def _photographs() -> tuple:
    """Return the captioner, photographs of the test split with a reference each, and their captions."""
    recipe = zoo.load_recipe("lstm_captioner.flickr8k")
    model, data = zoo.create_model("lstm_captioner.flickr8k", pretrained=True), recipe.datamodule()
    pictures = pictures_of(data, "test")[::EVERY]
    references = [texts[0] for texts in data.references("test")[::EVERY]]
    return pictures, references, model.caption(pictures)


def draw_captions() -> Figure:
    """Draw photographs with their captions below and one reference above."""
    pictures, references, found = _photographs()
    figure = caption_grid(list(pictures), [each.text for each in found], references)
    figure.suptitle("lstm_captioner.flickr8k: test photographs, one reference above, the caption below")
    return figure


def draw_attention_maps() -> Figure:
    """Draw where the decoder attends before each word of the captions of some photographs."""
    pictures, _, found = _photographs()
    sheets = []
    for picture, each in list(zip(pictures, found))[:MAPPED]:
        part = attention_grid(picture, each.text, each.attention)
        part.set_dpi(100)
        canvas = FigureCanvasAgg(part)
        canvas.draw()
        sheets.append(np.asarray(canvas.buffer_rgba())[:, :, :3])
    height, width = sum(len(sheet) for sheet in sheets), max(sheet.shape[1] for sheet in sheets)
    figure = Figure(figsize=(width / 100, height / 100 + 0.5), layout="constrained")
    figure.suptitle("lstm_captioner.flickr8k: attention before each word")
    for axes, sheet in zip(figure.subplots(len(sheets), 1, height_ratios=[len(s) for s in sheets]), sheets):
        axes.imshow(sheet)
        axes.set_axis_off()
    return figure


FIGURES = {
    "sentiment": draw_sentiment,
    "surprise": draw_surprise,
    "alignment": draw_alignment,
    "beats": draw_beats,
    "captions": draw_captions,
    "attention_maps": draw_attention_maps,
}


if __name__ == "__main__":
    save_figures(FIGURES, __doc__, dpi=100)

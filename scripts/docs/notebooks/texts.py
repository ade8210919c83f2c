# %% [markdown]
# # Texts in miniature
#
# A recurrent network tells praise from blame. The reviews are composed from a few words, so that the training takes
# seconds and what the network has learned can be read off; the data come from a table, as your own would.

# %%
import csv
import random
import tempfile
from pathlib import Path

import lightning as L
import matplotlib.pyplot as plt
import torch

import zoo
from datamodules import create_datamodule

NOUNS = ["film", "plot", "acting", "music", "ending", "story", "camera", "script"]
GOOD, BAD = ["lovely", "moving", "clever", "warm", "fresh"], ["dull", "clumsy", "tedious", "empty", "stale"]
draw = random.Random(0)


def review():
    """Return a review and its label; "not" turns the meaning of its word around."""
    label, negated = draw.random() < 0.5, draw.random() < 0.4
    word = draw.choice(GOOD if label != negated else BAD)
    opening = draw.choice(["", "i think ", "all in all ", "well , ", "to me "])
    degree = draw.choice(["", "very ", "really ", "that "])
    text = f"{opening}the {draw.choice(NOUNS)} is {'not ' if negated else ''}{degree}{word} ."
    return text, "good" if label else "bad"


table = Path(tempfile.mkdtemp()) / "reviews.csv"
with table.open("w", newline="") as file:
    csv.writer(file).writerows([("text", "label"), *sorted({review() for _ in range(3000)})])
print(table.read_text().splitlines()[1:5])

# %% [markdown]
# ## Training
#
# `text_table` reads the table, keeps a part for validation and one for the test, and learns a vocabulary of subwords
# from the training texts alone.

# %%
data = create_datamodule("text_table", root=str(table), batch_size=32)
L.seed_everything(0, verbose=False)
spec = data.spec
names = zoo.model_info("lstm_classifier")["parameters"]
model = zoo.create_model(
    "lstm_classifier",
    **{key: value for key, value in spec.items() if key in names},
    embedding_dim=32,
    hidden_dim=32,
    lr=0.01,
)


class Curve(L.Callback):
    """Keep the accuracy on validation after each epoch."""

    def __init__(self):
        self.accuracy = []

    def on_validation_epoch_end(self, trainer, pl_module):
        """Keep the accuracy."""
        if not trainer.sanity_checking:
            self.accuracy.append(float(trainer.callback_metrics["val_accuracy"]))


curve = Curve()
quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
trainer = L.Trainer(max_epochs=6, accelerator="cpu", callbacks=[curve], **quiet)
trainer.fit(model, data)
print(f"test accuracy: {trainer.test(model, data, verbose=False)[0]['test_accuracy']:.1%}")

# %%
fig, ax = plt.subplots(figsize=(5, 3))
ax.plot(range(1, len(curve.accuracy) + 1), curve.accuracy, marker="o")
ax.set(xlabel="epoch", ylabel="accuracy on validation")
plt.show()

# %% [markdown]
# ## What has it learned?
#
# "not" turns the meaning of its word around, and the network has learned that. The probability of praise after each
# change of a sentence:

# %%
texts = ["the plot is clever .", "the plot is not clever .", "the plot is dull .", "the plot is not dull ."]
with torch.no_grad():
    praise = model.eval().probabilities(model(model.ids(texts)))[:, spec["class_names"].index("good")]
fig, ax = plt.subplots(figsize=(6, 2))
ax.barh(texts, praise)
ax.invert_yaxis()
ax.set(xlim=(0, 1), xlabel="probability of praise")
plt.show()

# %% [markdown]
# ## The same on real reviews
#
# The trained weights of `lstm_classifier.sst2` have read 67,349 phrases of film reviews:

# %%
reviews = zoo.create_model("lstm_classifier.sst2", pretrained=True)
for text in ("a warm and clever film", "I don't think it's a bad film at all!", "dull, and twice too long"):
    print(text, "->", reviews.classify([text])[0])

# %% [markdown]
# [Classification and tagging of texts](../families/text.md) has what they reach.

# %% [markdown]
# # From logistic regression to LeNet-5
#
# Three models read the same digits: the 1,797 images of 8 x 8 pixels that come with scikit-learn. Each is a step of the
# lecture: a linear model, a hidden layer, convolutions.

# %%
import lightning as L
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F

import zoo
from datamodules import DigitsDataModule

data = DigitsDataModule(batch_size=32, batches_per_step=8)
images, labels = data.arrays("train")
fig, axes = plt.subplots(1, 10, figsize=(10, 1.4))
for digit, ax in enumerate(axes):
    ax.imshow(images[labels == digit][0].reshape(8, 8), cmap="gray_r")
    ax.set_axis_off()
plt.show()

# %% [markdown]
# ## Logistic regression
#
# Ten scores, one a class, each a weighted sum of the 64 pixels. The model is built by name; what it has to know of the
# data is in `data.spec`.

# %%
spec = {key: data.spec[key] for key in ("num_classes", "class_names", "mean", "std", "input_shape")}


def train(name, epochs, **args):
    """Train a model, test its last weights, and return it with its accuracy."""
    L.seed_everything(0, verbose=False)
    model = zoo.create_model(name, **args)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = L.Trainer(max_epochs=epochs, accelerator="cpu", **quiet)
    trainer.fit(model, data)
    return model, trainer.test(model, data, verbose=False)[0]["test_accuracy"]


linear, accuracy = train("logistic_regression", 15, in_features=64, lr=0.01, **spec)
print(f"logistic regression: {accuracy:.1%} of the test digits")

# %% [markdown]
# Its weights are pictures: blue pixels speak for the class, red ones against it.

# %%
weights = next(weights for weights in linear.parameters() if weights.ndim == 2).detach()
fig, axes = plt.subplots(1, 10, figsize=(10, 1.4))
for digit, ax in enumerate(axes):
    ax.imshow(weights[digit].reshape(8, 8), cmap="RdBu", vmin=-weights.abs().max(), vmax=weights.abs().max())
    ax.set_title(digit)
    ax.set_axis_off()
plt.show()

# %% [markdown]
# ## A hidden layer
#
# A multilayer perceptron with 128 hidden units draws curved boundaries.

# %%
mlp, accuracy = train("mlp", 15, in_features=64, hidden_dims=[128], dropout=0.2, **spec)
print(f"multilayer perceptron: {accuracy:.1%}, {sum(p.numel() for p in mlp.parameters()):,} parameters")

# %% [markdown]
# ## Convolutions
#
# LeNet-5 takes images of 28 x 28 pixels, so the digits are enlarged on their way in. The trained weights of
# `lenet5.mnist` have never seen these digits, which were written by other people and scanned in another way.

# %%
lenet = zoo.create_model("lenet5.mnist", pretrained=True)
images, labels = (torch.tensor(rows) for rows in data.arrays("test"))
large = F.pad(F.interpolate(images.reshape(-1, 1, 8, 8), size=(20, 20), mode="bilinear"), (4, 4, 4, 4))
found = lenet(large).argmax(1)
print(f"LeNet-5, trained on MNIST: {(found == labels).float().mean():.1%}")

# %% [markdown]
# The digits that it reads as something else:

# %%
wrong = (found != labels).nonzero().flatten()[:10]
fig, axes = plt.subplots(1, 10, figsize=(10, 1.6))
for ax in axes:
    ax.set_axis_off()
for row, ax in zip(wrong, axes):
    ax.imshow(large[row, 0], cmap="gray_r")
    ax.set_title(f"{found[row]} for {labels[row]}", fontsize=8)
plt.show()

# %% [markdown]
# A small CNN, trained on these digits themselves, knows their style:

# %%
args = {key: spec[key] for key in ("num_classes", "class_names", "mean", "std")}
cnn, accuracy = train("cnn", 12, hidden_dims=[16, 32], depths=[1, 1], lr=0.01, **args)
print(f"small CNN: {accuracy:.1%}, {sum(p.numel() for p in cnn.parameters()):,} parameters")

# %% [markdown]
# `zoo fit lenet5.mnist` and `zoo fit cnn.mnist` do the same on MNIST, and
# [multilayer perceptrons and convolutional networks](../families/networks.md) has what they reach.

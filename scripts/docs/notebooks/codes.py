# %% [markdown]
# # Autoencoders: from PCA to a nonlinear code
#
# An autoencoder squeezes its input through a narrow code and rebuilds it. With linear layers alone it finds the plane
# of principal component analysis; hidden layers bend that plane. Both are compared on the digits of scikit-learn.

# %%
import lightning as L
import matplotlib.pyplot as plt
import torch
from sklearn.decomposition import PCA

import zoo
from datamodules import DigitsDataModule

data = DigitsDataModule(batch_size=32, batches_per_step=8)
train, _ = data.arrays("train")
test, labels = data.arrays("test")


def fit(name, epochs, **args):
    """Train a model of 8 x 8 images and return it."""
    L.seed_everything(0, verbose=False)
    model = zoo.create_model(name, in_features=64, input_shape=[1, 8, 8], **args)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    L.Trainer(max_epochs=epochs, accelerator="cpu", **quiet).fit(model, data)
    return model.eval()


# %% [markdown]
# ## Two numbers a digit
#
# The squared error a pixel of test digits, rebuilt from two numbers: by PCA, and by an autoencoder with two hidden
# layers on each side.

# %%
pca = PCA(2).fit(train)
by_pca = pca.inverse_transform(pca.transform(test)).clip(0, 1)
model = fit("deep_autoencoder", 60, hidden_dims=[128, 64], latent_dim=2, lr=0.003)
images = torch.tensor(test).reshape(-1, 1, 8, 8)
by_network = model.reconstruct(images).flatten(1).numpy()
for name, rebuilt in (("PCA", by_pca), ("autoencoder", by_network)):
    print(f"{name}: {((rebuilt - test) ** 2).mean():.4f}")

# %%
codes = model.encode(images)
fig, axes = plt.subplots(1, 2, figsize=(10, 4.5))
for ax, points, title in zip(axes, (pca.transform(test), codes), ("PCA", "autoencoder")):
    ax.scatter(points[:, 0], points[:, 1], c=labels, cmap="tab10", s=12)
    ax.set_title(title)
fig.colorbar(axes[1].collections[0], ax=axes, ticks=range(10), label="digit")
plt.show()

# %% [markdown]
# No label was used: the colours were added afterwards.
#
# ## Denoising
#
# The same network with a wider code learns to remove noise, if noise is added to its inputs and not to its targets.

# %%
denoiser = fit("autoencoder", 60, corruption="gaussian", hidden_dims=[256], latent_dim=64, lr=0.003)
noisy = denoiser.corrupt(images, torch.Generator().manual_seed(0))
clean = denoiser.reconstruct(noisy)
for name, answer in (("noisy", noisy), ("denoised", clean)):
    print(f"{name}: squared error {float(((answer - images) ** 2).mean()):.4f} a pixel")

# %%
fig, axes = plt.subplots(3, 10, figsize=(10, 3.2))
for row, pictures in enumerate((images, noisy, clean)):
    for ax, picture in zip(axes[row], pictures):
        ax.imshow(picture[0], cmap="gray_r", vmin=0, vmax=1)
        ax.set_axis_off()
plt.show()

# %% [markdown]
# Digits, noisy digits, denoised digits. [Autoencoders](../families/autoencoders.md) and
# [restoration](../families/restoration.md) have the same with MNIST and with photographs.

"""Answer the lecture's questions that can be computed, and write them as one table, ``questions.md``.

    python scripts/questions.py

Which methods learn XOR? How many parameters has an MLP with 10,000 inputs, three hidden layers of 1,000 and 10 classes?
Is PCA, or an autoencoder, robust to outliers? No test split is opened.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from demonstrations import WIDTH, command_line, one_line_errors, save, seeded
from rich.console import Console
from rich.table import Table
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from tqdm import tqdm

import zoo
from datamodules import MNISTDataModule, create_datamodule
from datamodules.splits import Split
from zoo.recipes.claims import mean_std

POINTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([0, 1, 1, 0])
NOISE = 0.1
METHODS: dict[str, Any] = {
    "logistic regression": LogisticRegression(),
    "perceptron": Perceptron(),
    "naive Bayes, Gaussian": GaussianNB(),
    "naive Bayes, Bernoulli": BernoulliNB(binarize=0.5),
    "decision tree": DecisionTreeClassifier(random_state=0),
    "SVM, linear": SVC(kernel="linear"),
    "SVM, RBF kernel": SVC(kernel="rbf", gamma=1.0, C=10.0),
}
SHARES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.4)
"""Shares of the training pictures that are replaced by outliers."""
CODE, PICTURES = 30, 5_000
LOSSES = {"autoencoder, squared error": "squared_error", "autoencoder, cross-entropy": "cross_entropy"}
SIZES = {"in_features": 10_000, "hidden_dims": [1_000] * 3, "num_classes": 10}


class MNISTWithOutliers(MNISTDataModule):
    """MNIST of which a share of the training pictures is replaced by noise, each pixel 0 or 1 with equal chances.

    Args:
        share: Share of the training pictures that are replaced.
        **common: Arguments of ``MNISTDataModule``.
    """

    def __init__(self, *, share: float, **common: Any) -> None:
        super().__init__(**common)
        self.share = share
        self.outliers = np.zeros(0, int)
        """Rows of the training split that are outliers, once it is set up."""

    def select_training_rows(self, train: Split) -> Split:
        """Return the training rows with the outliers among them."""
        chosen = super().select_training_rows(train)
        (x, y), rng = chosen.tensors, np.random.default_rng(self.seed)
        self.outliers = rows = rng.permutation(len(x))[: round(self.share * len(x))]
        x = x.clone()
        x[rows] = torch.from_numpy(255 * rng.integers(0, 2, (len(rows), *x.shape[1:]), dtype=np.uint8))
        return Split((x, y), chosen.groups)


class Bar(L.Callback):
    """Move a bar by one after each epoch, with the training loss."""

    def __init__(self, bar: tqdm, label: str) -> None:
        self.bar, self.label = bar, label

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show the loss."""
        self.bar.set_postfix(fit=self.label, train_loss=f"{float(trainer.callback_metrics['train_loss']):.4f}")
        self.bar.update()


def fit(model: Any, data: Any, epochs: int, bar: tqdm, label: str) -> None:
    """Train a model quietly; data is a datamodule or batches."""
    silent = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=epochs, limit_val_batches=0, callbacks=[Bar(bar, label)], **silent
    )
    trainer.fit(model, data)


def learn_xor(args: argparse.Namespace, bar: tqdm) -> dict[str, dict[str, Any]]:
    """Return each method's accuracy on the four points, and on validation points of the noisy data by seed."""
    found: dict[str, dict[str, Any]] = {
        name: {"points": float(method.fit(*POINTS).score(*POINTS)), "noisy": []} for name, method in METHODS.items()
    }
    x, y = torch.tensor(POINTS[0], dtype=torch.float32), torch.tensor(POINTS[1])
    settings = {"in_features": 2, "num_classes": 2, "hidden_dims": [8], "activation": "tanh", "lr": 0.03}
    model = seeded(0, "mlp", **settings)
    fit(model, create_datamodule("boolean", repeat=100, batches_per_step=100), args.epochs, bar, "XOR, four points")
    with torch.no_grad(), model.evaluating():
        found["MLP, 8 tanh units"] = {"points": float((model(x).argmax(1) == y).float().mean()), "noisy": []}
    for seed in range(args.seeds):
        data = create_datamodule(
            "playground", dataset="xor", points=2000, noise=NOISE, val_size=500, draw=seed, seed=seed, batch_size=25
        )
        train, val = data.arrays("train"), data.arrays("val")
        for name, method in METHODS.items():
            # Coordinates have mean 0: the threshold of Bernoulli's features is in the middle of both data.
            one = BernoulliNB(binarize=0.0) if isinstance(method, BernoulliNB) else method
            found[name]["noisy"].append(float(one.fit(*train).score(*val)))
        model = seeded(seed, "mlp", **settings)
        fit(model, data, args.epochs, bar, f"XOR, seed {seed}")
        with torch.no_grad(), model.evaluating():
            right = model(torch.tensor(val[0])).argmax(1).numpy() == val[1]
        found["MLP, 8 tanh units"]["noisy"].append(float(right.mean()))
    return {name: {"points": each["points"], "noisy": mean_std(each["noisy"])} for name, each in found.items()}


def reconstruct(args: argparse.Namespace, bar: tqdm) -> dict[str, dict[float, Any]]:
    """Return the squared error a pixel of clean validation pictures by method and share of outliers."""
    errors: dict[str, dict[float, list[float]]] = {
        name: {share: [] for share in SHARES} for name in ("PCA", "PCA, outliers left out", *LOSSES)
    }
    for seed in range(args.seeds):
        for share in SHARES:
            data = MNISTWithOutliers(
                share=share, train_size=args.pictures, val_size=2_000, seed=seed, batch_size=50, batches_per_step=16
            )
            (x, _), (val, _) = data.arrays("train"), data.arrays("val")
            answers = {}
            for name, rows in (("PCA", x), ("PCA, outliers left out", np.delete(x, data.outliers, 0))):
                pca = PCA(CODE, random_state=seed).fit(rows)
                answers[name] = pca.inverse_transform(pca.transform(val)).clip(0, 1)
            for name, loss in LOSSES.items():
                settings = {"hidden_dims": [256], "latent_dim": CODE, "loss": loss}
                model = seeded(seed, "deep_autoencoder", **settings)
                fit(model, data, args.epochs, bar, f"{name}, {100 * share:g} % outliers")
                answers[name] = model.reconstruct(torch.tensor(val).reshape(-1, 1, 28, 28)).flatten(1).numpy()
            for name, answer in answers.items():
                errors[name][share].append(float(((answer - val) ** 2).mean()))
    return {name: {share: mean_std(values) for share, values in by.items()} for name, by in errors.items()}


def answered(numbers: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the rows of the table: question, case, answer."""
    question = f"Which methods learn XOR? Four points; validation points with {100 * NOISE:.0f} % noise"
    rows = []
    for name, row in numbers["xor"].items():
        points, noisy = row["points"], row["noisy"]
        verdict = "learns it" if points == 1 and noisy["mean"] > 0.8 else "does not learn it"
        figures = f"{100 * points:.0f} %; {100 * noisy['mean']:.1f} ± {100 * noisy['std']:.1f} %"
        rows.append((question, name, f"{verdict}: {figures}"))
    counted = numbers["parameters"]
    rows.append(("How many parameters has an MLP 10,000-1,000-1,000-1,000-10?", "mlp", f"{counted:,}"))
    question = "Robust to outliers? Squared error a pixel of clean digits, for shares of outliers"
    for name, by in numbers["outliers"].items():
        first, last = by[SHARES[0]]["mean"], by[SHARES[-1]]["mean"]
        figures = ", ".join(f"{100 * share:g} %: {each['mean']:.4f}" for share, each in by.items())
        growth = last / first
        verdict = "hardly changes" if growth < 1.1 else "grows" if growth < 2 else "grows much"
        rows.append((question, name, f"{verdict}, {growth:.2f} times at {100 * SHARES[-1]:g} %: {figures}"))
    return rows


def page(rows: list[tuple[str, str, str]], numbers: dict[str, Any]) -> str:
    """Return the table as Markdown."""
    lines = ["| question | case | answer |", "|---|---|---|"]
    before = ""
    for question, case, answer in rows:
        lines.append(f"| {question if question != before else ''} | {case} | {answer} |")
        before = question
    note = (
        f"Mean ± standard deviation of {numbers['seeds']} seeds. Outliers are pictures of noise, each pixel 0 or 1 "
        f"with equal chances, in place of MNIST training digits ({numbers['pictures']:,} in all); PCA and the "
        f"autoencoders have codes of {CODE} numbers. Such noise has nearly the same variance in every direction and so "
        "hardly turns the components; outliers that share a direction would take a component for themselves. "
        "`python scripts/questions.py` writes this page."
    )
    return "\n".join(["# Questions of the lecture, computed", "", *lines, "", note, ""])


def main() -> None:
    parser = command_line(__doc__, seeds=3, epochs=20, pictures=5_000)
    parser.set_defaults(output=Path(__file__).parent / "docs")
    args = parser.parse_args()
    if args.pictures < 100:
        parser.error(f"--pictures {args.pictures} is too small: at least 100")
    with one_line_errors(parser, args.output):
        total = args.epochs * (1 + args.seeds * (1 + len(SHARES) * len(LOSSES)))
        with tqdm(total=total, unit="epoch") as bar:
            numbers = {"xor": learn_xor(args, bar), "outliers": reconstruct(args, bar)}
        model = zoo.create_model("mlp", **SIZES)
        numbers |= {"seeds": args.seeds, "epochs": args.epochs, "pictures": args.pictures}
        numbers["parameters"] = sum(parameter.numel() for parameter in model.parameters())
        rows = answered(numbers)
        table = Table("question", "case", "answer", title="Questions of the lecture")
        before = ""
        for question, case, answer in rows:
            table.add_row(question if question != before else "", case, answer)
            before = question
        Console(width=WIDTH).print(table)
        save(args.output, "questions", page(rows, numbers), numbers)


if __name__ == "__main__":
    sys.exit(main())

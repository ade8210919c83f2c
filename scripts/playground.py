"""Train a network on a data set of the TensorFlow Playground, and draw its boundary as it moves.

``python scripts/playground.py spiral --output spiral.gif`` trains the recipe ``mlp.playground_spiral`` and writes an
animation; ``.mp4`` writes a film and ``.png`` the last picture. Without a data set it draws what the trained weights of
every recipe answer.
"""

import argparse
import io
import tempfile
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from demonstrations import count, one_line_errors
from figure_files import FIGURES
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

import zoo
from datamodules.playground import DATASETS, FEATURES
from zoo.errors import needs
from zoo.figures.plane import draw_boundary, plane_figure, plane_grid, unit_responses
from zoo.files import write_files

FRAMES_PER_SECOND = 10
HOLD = 2 * FRAMES_PER_SECOND
"""Times that the last frame is shown."""
ENDINGS = (".gif", ".mp4", ".png")


class Frames(L.Callback):
    """Keep a picture after each of some epochs, which are close together at first, and show the progress.

    Args:
        count: Number of pictures, about.
        epochs: Number of epochs of the training.
    """

    def __init__(self, count: int, epochs: int) -> None:
        growth = epochs ** (1 / max(count - 1, 1))
        self.epochs = {min(epochs, round(growth**k) + k * (epochs > count)) for k in range(count)} | {1, epochs}
        self.pictures: list[Image.Image] = []
        self.progress = tqdm(total=epochs, unit="epoch")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw the boundary, if this epoch is one of them."""
        epoch, data = trainer.current_epoch + 1, trainer.datamodule  # type: ignore[attr-defined]
        loss = float(trainer.callback_metrics["train_loss"])
        self.progress.set_postfix(train_loss=f"{loss:.4f}", refresh=False)
        self.progress.update()
        if epoch in self.epochs:
            title = f"{data.dataset}, {100 * data.noise:.0f} % noise: epoch {epoch}, training loss {loss:.4f}"
            figure = plane_figure(pl_module, *data.training_points(), data.features_of, title)
            self.pictures.append(picture_of(figure))


def picture_of(figure: Figure) -> Image.Image:
    """Return a figure of matplotlib as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def encode(pictures: list[Image.Image], ending: str) -> bytes:
    """Return pictures as the content of an animation, a film, or a picture of the last of them, by the ending."""
    last, content = pictures[-1], io.BytesIO()
    if ending == ".png":
        last.save(content, "png")
        return content.getvalue()
    shown = [picture.resize(last.size) for picture in pictures] + [last] * HOLD
    if ending == ".gif":
        frames = [picture.quantize(128) for picture in shown]
        options = {"save_all": True, "append_images": frames[1:], "duration": 1000 // FRAMES_PER_SECOND, "loop": 0}
        frames[0].save(content, "gif", **options)
        return content.getvalue()
    width, height = (side - side % 2 for side in last.size)
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / f"film{ending}"
        video = needs("imageio_ffmpeg", "video")
        writer = video.write_frames(str(film), (width, height), fps=FRAMES_PER_SECOND, macro_block_size=2)
        writer.send(None)
        for picture in shown:
            writer.send(picture.crop((0, 0, width, height)).tobytes())
        writer.close()
        return film.read_bytes()


def draw_recipes() -> Image.Image:
    """Return a picture of the answers of the trained weights of the recipe of every data set, with its test figure."""
    figure = Figure(figsize=(13, 7.6), layout="constrained")
    for axes, dataset in zip(figure.subplots(2, 3).flat, DATASETS, strict=True):
        name = f"mlp.playground_{dataset}"
        model, data = zoo.create_model(name, pretrained=True), zoo.load_recipe(name).datamodule()
        points, y = data.training_points()
        grid, extent = plane_grid(points)
        answer, _ = unit_responses(model, data.features_of(grid))
        draw_boundary(axes, answer, extent, points, y)
        result = zoo.pretrained.load_result(name)
        claim = result["claim"][0]
        measured = result["metrics"][claim["metric"]]
        axes.set_title(f"{name}\n{claim['metric']} {measured['mean']:.4f} over {result['seeds']} seeds", fontsize=10)
    figure.suptitle("The Playground's data sets, and what the trained networks answer")
    return picture_of(figure)


def train(args: argparse.Namespace, ending: str) -> list[Image.Image]:
    """Train the recipe of a data set with the settings of the command line, and return its pictures."""
    if ending == ".mp4":
        needs("imageio_ffmpeg", "video")  # before the training
    recipe = zoo.load_recipe(f"mlp.playground_{args.dataset}")
    given = {"noise": args.noise, "features": args.features}
    settings: dict[str, Any] = {
        "data": {key: value for key, value in given.items() if value is not None},
        "model": {} if args.hidden_dims is None else {"hidden_dims": args.hidden_dims},
    }
    epochs = args.epochs or recipe.trainer["max_epochs"]
    frames = Frames(1 if ending == ".png" else args.frames, epochs)
    trainer = {
        "max_epochs": epochs,
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": False,
        "callbacks": [frames],
    }
    model, data, fit = recipe.build(**settings, trainer=trainer, seed=args.seed)
    fit.fit(model, data)
    frames.progress.close()
    return frames.pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "dataset", nargs="?", choices=list(DATASETS), help="what to train on; default: draw the recipes"
    )
    parser.add_argument("--output", type=Path, help=f"file that ends with {', '.join(ENDINGS)}")
    parser.add_argument("--noise", type=float, help="share of noise, 0 to 0.5")
    parser.add_argument("--features", nargs="+", choices=list(FEATURES), help="features of a point")
    parser.add_argument("--hidden_dims", nargs="*", type=int, help="units of each hidden layer")
    parser.add_argument("--epochs", type=count, help="epochs; default: the recipe's")
    parser.add_argument("--frames", type=count, default=60, help="pictures of an animation")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    output = args.output or (Path(f"{args.dataset}.gif") if args.dataset else FIGURES / "playground.png")
    if output.suffix not in ENDINGS:
        parser.error(f"--output {output}: expected an ending out of {', '.join(ENDINGS)}")
    if not args.dataset and output.suffix != ".png":
        parser.error(f"--output {output}: the picture of all recipes is a .png; an animation takes a data set")
    if not output.resolve().parent.is_dir():
        parser.error(f"--output {output}: no such folder {output.parent}")
    with one_line_errors(parser, output.parent):
        pictures = train(args, output.suffix) if args.dataset else [draw_recipes()]
        write_files({output: encode(pictures, output.suffix)})
        print(f"{output}: {len(pictures)} pictures" if len(pictures) > 1 else output)


if __name__ == "__main__":
    main()

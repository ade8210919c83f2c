"""Choose the temperature of the shipped classifiers that were published without one, on their validation rows.

    python scripts/temperatures.py
    python scripts/temperatures.py --report

It is written beside the weights as a hyper-parameter that they lack; ``zoo verify --publish`` replaces both. The report
chooses nothing: it is the expected calibration error of all shipped classifiers on their test rows, without the
temperature and with it, by ``zoo test``'s metric.
"""

import argparse
import json
import logging
import warnings

import lightning as L
import torch

import zoo
from zoo import pretrained
from zoo.files import write_atomically
from zoo.metrics.calibration import Temperature
from zoo.recipes import load_recipe
from zoo.recipes.trained import load_trained
from zoo.tasks.classification import Classifier


def choose() -> None:
    """Write the temperature of each shipped classifier that has none."""
    for name in zoo.list_recipes():
        if not pretrained.weights_path(name).exists():
            continue
        model, data = load_trained(load_recipe(name))
        calibrates = isinstance(model, Classifier) and model.calibrates and model.hparams.get("num_classes", 0) >= 2
        if not calibrates or data.train_on_all or model.hparams["temperature"] != 1 or model.input_kind == "recordings":
            continue
        data.prepare_data()
        data.setup()
        found = Temperature()
        with torch.no_grad():
            for x, y, *_ in data.val_dataloader():
                found.update(model(data.on_after_batch_transfer((x, y), 0)[0]), y)
        found.compute()
        if found.temperature == 1:
            continue
        path = pretrained.hparams_path(name)
        added = json.loads(path.read_text()) if path.exists() else {}
        write_atomically(path, (json.dumps({**added, "temperature": found.temperature}) + "\n").encode())
        print(f"{name:40} {found.temperature:.4f}")


def report() -> None:
    """Print the expected calibration error of each shipped classifier as a table in Markdown."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    print("| recipe | temperature | error at temperature 1 | error |\n|---|---|---|---|")
    for name in zoo.list_recipes():
        if not pretrained.weights_path(name).exists():
            continue
        model, data = load_trained(load_recipe(name))
        calibrates = isinstance(model, Classifier) and model.calibrates and model.hparams.get("num_classes", 0) >= 2
        if not calibrates or model.input_kind == "recordings":
            continue
        chosen = model.hparams["temperature"]
        errors = []
        for temperature in (1.0, chosen):
            model.hparams["temperature"] = temperature
            found = L.Trainer(**quiet).test(model, datamodule=data, verbose=False)[0]
            errors.append(f"{found['test_ece']:.4f}")
        print(f"| `{name}` | {chosen:.2f} | {errors[0]} | {errors[1]} |", flush=True)


def main() -> None:
    """Choose temperatures or report on them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", action="store_true", help="print the calibration errors instead")
    report() if parser.parse_args().report else choose()


if __name__ == "__main__":
    main()

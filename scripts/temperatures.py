"""Choose the temperature of the shipped classifiers that were published without one, on their validation rows.

    python scripts/temperatures.py

It is written beside the weights as a hyper-parameter that they lack; ``zoo verify --publish`` replaces both.
"""

import json

import torch

import zoo
from zoo import pretrained
from zoo.files import write_atomically
from zoo.metrics.calibration import Temperature
from zoo.recipes import load_recipe
from zoo.recipes.trained import load_trained
from zoo.tasks.classification import Classifier


def main() -> None:
    for name in zoo.list_recipes():
        if not pretrained.weights_path(name).exists():
            continue
        model, data = load_trained(load_recipe(name))
        calibrates = isinstance(model, Classifier) and model.calibrates and model.hparams.get("num_classes", 0) >= 2
        if not calibrates or data.train_on_all or model.hparams["temperature"] != 1 or "beats" in model.input_kind:
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


if __name__ == "__main__":
    main()

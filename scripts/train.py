"""Train a model of the zoo from a program: registry, shared datamodule, Lightning's own Trainer."""

import argparse

import lightning as L

import zoo
from datamodules import create_datamodule


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="cnn", help="one of zoo.list_models()")
    parser.add_argument("--data", default="digits", help="one of datamodules.list_datamodules()")
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()

    L.seed_everything(0)
    data = create_datamodule(args.data, batch_size=64, batches_per_step=8)
    needed = zoo.model_info(args.model)["parameters"]
    shapes = {key: value for key, value in data.spec.items() if key in needed}
    model = zoo.create_model(args.model, **shapes, optimizer="adamw", lr=3e-3, schedule="onecycle")

    trainer = L.Trainer(max_epochs=args.epochs, callbacks=zoo.callbacks.default_callbacks(model))
    trainer.fit(model, data)
    trainer.test(datamodule=data, ckpt_path="best", weights_only=True)


if __name__ == "__main__":
    main()

"""What a user may hand to Lightning's Trainer, as functions of a model, its data and a folder, and the table of them.

``python tests/trainer_habits.py`` writes ``scripts/docs/how-to/trainer.md``.
"""

import datetime
import os
import pickle
import sys
import warnings
from pathlib import Path

import lightning as L
import torch
from conftest import quiet_trainer, tiny_data
from lightning.pytorch import callbacks as lc
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

import zoo
from zoo.callbacks import default_callbacks

PAGE = Path(__file__).parent.parent / "scripts" / "docs" / "how-to" / "trainer.md"
HABITS = {}
HALF = "`precision` `16-true`"
WORKS, FALLS_BACK, REFUSED = "works", "falls back", "refused"


def habit(name):
    def register(function):
        HABITS[name] = function
        return function

    return register


def fit(model, data, folder, *callbacks, **settings):
    trainer = quiet_trainer(**{"max_epochs": 2, "callbacks": list(callbacks), "default_root_dir": folder, **settings})
    trainer.fit(model, data)
    return trainer


def flags(**settings):
    return lambda model, data, folder: fit(model, data, folder, **settings)


def callbacks(*build, **settings):
    def run(model, data, folder):
        made = [one(model, folder) for one in build]
        return fit(
            model, data, folder, *made, **{"enable_checkpointing": True, "logger": CSVLogger(folder), **settings}
        )

    return run


def subclass(**methods):
    """Return a habit: a subclass of the model's class with methods of its own, fitted."""

    def run(model, data, folder):
        cls = type("Own", (type(model),), {})
        for name, method in methods.items():
            setattr(cls, name, method)
        model.__class__ = cls
        return fit(model, data, folder)

    return run


for name, settings in {
    "`gradient_clip_val`, by norm": {"gradient_clip_val": 1.0},
    "`gradient_clip_val`, by value": {"gradient_clip_val": 1.0, "gradient_clip_algorithm": "value"},
    "`accumulate_grad_batches`": {"accumulate_grad_batches": 2},
    "`val_check_interval`": {"val_check_interval": 0.5},
    "`check_val_every_n_epoch`": {"check_val_every_n_epoch": 2},
    "`check_val_every_n_epoch=None`": {"check_val_every_n_epoch": None, "val_check_interval": 1},
    "`overfit_batches`": {"overfit_batches": 1},
    "`limit_train_batches`, a number": {"limit_train_batches": 2},
    "`limit_train_batches`, a share": {"limit_train_batches": 0.5},
    "`limit_val_batches=0`": {"limit_val_batches": 0},
    "`max_steps` within an epoch": {"max_epochs": -1, "max_steps": 1},
    "`max_time`": {"max_time": {"hours": 1}},
    "`min_epochs`": {"min_epochs": 2},
    "`fast_dev_run`": {"fast_dev_run": True},
    "`num_sanity_val_steps`": {"num_sanity_val_steps": 2},
    "`reload_dataloaders_every_n_epochs`": {"reload_dataloaders_every_n_epochs": 1},
    "`detect_anomaly`": {"detect_anomaly": True},
    "`deterministic`": {"deterministic": "warn"},
    "`profiler`": {"profiler": "simple"},
    "`precision` `bf16-mixed`": {"precision": "bf16-mixed"},
    "`precision` `bf16-true`": {"precision": "bf16-true"},
    "`precision` `16-true`": {"precision": "16-true"},
    "`precision` `64-true`": {"precision": "64-true"},
    "value clipping in `bf16-mixed`": {
        "precision": "bf16-mixed",
        "gradient_clip_val": 1.0,
        "gradient_clip_algorithm": "value",
    },
}.items():
    HABITS[name] = flags(**settings)

for name, build in {
    "`EarlyStopping`": lambda m, f: lc.EarlyStopping(m.monitor, mode=m.mode),
    "`ModelCheckpoint` by epoch": lambda m, f: lc.ModelCheckpoint(f, filename="{epoch}", save_top_k=-1),
    "`ModelCheckpoint(every_n_train_steps)`": lambda m, f: lc.ModelCheckpoint(f, every_n_train_steps=1, save_top_k=-1),
    "`ModelCheckpoint(train_time_interval)`": lambda m, f: lc.ModelCheckpoint(
        f, train_time_interval=datetime.timedelta(milliseconds=1)
    ),
    "`OnExceptionCheckpoint`": lambda m, f: lc.OnExceptionCheckpoint(f),
    "`LearningRateMonitor`, by step": lambda m, f: lc.LearningRateMonitor(),
    "`LearningRateMonitor`, by epoch": lambda m, f: lc.LearningRateMonitor(logging_interval="epoch"),
    "`DeviceStatsMonitor`": lambda m, f: lc.DeviceStatsMonitor(cpu_stats=False),
    "`Timer`": lambda m, f: lc.Timer(datetime.timedelta(hours=1)),
    "`EMAWeightAveraging`": lambda m, f: lc.EMAWeightAveraging(),
    "`StochasticWeightAveraging`": lambda m, f: lc.StochasticWeightAveraging(1e-3, swa_epoch_start=1),
    "`GradientAccumulationScheduler`": lambda m, f: lc.GradientAccumulationScheduler({0: 2}),
    "`ModelPruning`": lambda m, f: lc.ModelPruning("l1_unstructured", amount=0.2),
    "`BackboneFinetuning`": lambda m, f: lc.BackboneFinetuning(unfreeze_backbone_at_epoch=1),
    "`LearningRateFinder`": lambda m, f: lc.LearningRateFinder(num_training_steps=5, early_stop_threshold=None),
    "`BatchSizeFinder`": lambda m, f: lc.BatchSizeFinder(steps_per_trial=1, init_val=2, max_trials=1),
    "`LambdaCallback(on_train_batch_end)`": lambda m, f: lc.LambdaCallback(on_train_batch_end=lambda *_: None),
    "`LambdaCallback(on_validation_end)`": lambda m, f: lc.LambdaCallback(on_validation_end=lambda *_: None),
    "a callback with `on_before_optimizer_step`": lambda m, f: lc.LambdaCallback(on_before_optimizer_step=lambda *_: 0),
}.items():
    HABITS[name] = callbacks(build)

HABITS["`TQDMProgressBar`"] = callbacks(lambda m, f: lc.TQDMProgressBar(), enable_progress_bar=True)
HABITS["`default_callbacks`, two loggers"] = lambda model, data, folder: fit(
    model,
    data,
    folder,
    *default_callbacks(model, folder),
    logger=[CSVLogger(folder), TensorBoardLogger(folder)],
    enable_checkpointing=True,
)


def _own_training_step(self, batch, batch_idx):
    return self.step(batch)["loss"]


def _manual_step(self, batch, batch_idx):
    optimizer = self.optimizers()
    optimizer.zero_grad()
    self.manual_backward(self.step(batch)["loss"])
    optimizer.step()


def _own_optimizer_step(self, *args, **kwargs):
    L.LightningModule.optimizer_step(self, *args, **kwargs)


def _own_schedule(self):
    optimizer = torch.optim.SGD(self.parameters(), lr=1e-3)
    return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)]


HABITS["own `training_step`"] = subclass(training_step=_own_training_step)
HABITS["own `configure_optimizers` with a schedule by epoch"] = subclass(configure_optimizers=_own_schedule)
HABITS["own `optimizer_step`"] = subclass(
    optimizer_step=lambda self, *a, **k: L.LightningModule.optimizer_step(self, *a, **k)
)
HABITS["own `backward`"] = subclass(backward=lambda self, loss: loss.backward())
HABITS["own `configure_gradient_clipping`"] = subclass(configure_gradient_clipping=lambda self, *_, **__: None)
HABITS["own `lr_scheduler_step`"] = subclass(lr_scheduler_step=lambda self, scheduler, metric: scheduler.step())
HABITS["own hooks without `super()`"] = subclass(
    **{
        hook: lambda self, *_, **__: None
        for hook in (
            "setup",
            "on_fit_start",
            "on_train_start",
            "on_train_epoch_start",
            "on_train_epoch_end",
            "on_validation_epoch_start",
            "on_validation_epoch_end",
            "on_save_checkpoint",
            "on_load_checkpoint",
        )
    }
)


@habit("manual optimisation")
def manual(model, data, folder):
    model.__class__ = type("Manual", (type(model),), {"training_step": _manual_step})
    model.automatic_optimization = False
    fit(model, data, folder)
    assert not model.automatic_optimization


@habit("a model in evaluation mode")
def evaluation_mode(model, data, folder):
    fit(model.eval(), data, folder)
    assert model.training


@habit("frozen parameters")
def frozen(model, data, folder):
    first = next(model.net.parameters())
    first.requires_grad_(False)
    before = first.clone()
    fit(model, data, folder)
    assert torch.equal(first, before)


@habit("a module under the name of a method")
def module_under_the_name_of_a_method(model, data, folder):
    model.step = torch.nn.Identity()


@habit("a datamodule's loaders by hand, of data stored as floats")
def own_loaders(model, data, folder):
    data.setup()
    quiet_trainer(max_epochs=1).fit(model, data.train_dataloader(), data.val_dataloader())


@habit("a `LightningModule` that is not of the zoo")
def plain_module(model, data, folder):
    class Plain(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.inner = model.net

        def training_step(self, batch, batch_idx):
            assert isinstance(batch, tuple)
            return sum(parameter.sum() for parameter in self.inner.parameters() if parameter.is_floating_point())

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 1e-6)

    fit(Plain(), data, folder, limit_val_batches=0)


@habit("`Trainer.validate`, `test` and `predict`")
def evaluations(model, data, folder):
    trainer = quiet_trainer()
    trainer.validate(model, data, verbose=False)
    trainer.test(model, data, verbose=False)
    assert len(trainer.predict(model, data))


@habit("a fit that is resumed")
def resumed(model, data, folder):
    trainer = fit(model, data, folder, *default_callbacks(model, folder), enable_checkpointing=True, max_epochs=1)
    longer = quiet_trainer(max_epochs=2, callbacks=default_callbacks(model, folder), enable_checkpointing=True)
    longer.fit(model, data, ckpt_path=str(Path(folder) / "last.ckpt"), weights_only=True)
    assert longer.global_step > trainer.global_step


@habit("pickling the datamodule after a fit")
def pickled(model, data, folder):
    fit(model, data, folder)
    pickle.dumps(data)


SIZES = ("hidden_dims", "hidden_dim", "embedding_dim", "attention_dim", "code_dim")


def small_model(name):
    """Return a model whose layers have at most 8 units: its width decides nothing here."""
    defaults = {key: size for key, size in zoo.model_info(name)["parameters"].items() if key in SIZES}
    args = {key: [8] * len(size) if isinstance(size, list) else 8 for key, size in defaults.items() if size}
    if name == "lstm_captioner":
        args |= {"input_shape": [3, 32, 32], "hidden_dims": [8, 8]}
    return zoo.create_model(name, **args)


def outcome(run, name, steps, folder):
    """Return what becomes of a habit with a model and so many batches a training step."""
    torch.manual_seed(0)
    # Whether a loss of half precision overflows depends on the size.
    model = zoo.create_model(name) if run is HABITS[HALF] else small_model(name)
    data = tiny_data(model, batch_size=2, batches_per_step=steps)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            run(model, data, str(folder))
        except (ValueError, FloatingPointError, L.pytorch.utilities.exceptions.MisconfigurationException) as error:
            message = str(error)
        else:
            message = ""
    if message:
        assert len(message.splitlines()) == 1, message
        return REFUSED
    said = [str(warning.message) for warning in caught if "is taken as 1" in str(warning.message)]
    assert len(said) <= 1, said
    return FALLS_BACK if said else WORKS


def table(models, folder):
    """Return the outcomes of all habits for 1 and 16 batches a step, each a dictionary of models by outcome."""
    rows = {}
    for number, (name, run) in enumerate(HABITS.items()):
        for steps in (1, 16):
            for model in models:
                place = Path(folder) / f"{number}_{steps}_{model}"
                place.mkdir(parents=True)
                found = outcome(run, model, steps, place)
                rows.setdefault(name, {}).setdefault(steps, {}).setdefault(found, []).append(model)
    return rows


def cell(outcomes):
    """Return the text of a cell: the commonest outcome, and the models that have another."""
    ranked = sorted(outcomes, key=lambda found: -len(outcomes[found]))
    rest = [f"{found} for {', '.join(outcomes[found])}" for found in ranked[1:]]
    return "; ".join([ranked[0], *rest])


def page(rows):
    lines = [f"| {name} | {cell(found[1])} | {cell(found[16])} |" for name, found in rows.items()]
    return INTRODUCTION + "\n".join(lines) + "\n"


INTRODUCTION = """# What you can hand to the Trainer

Every model of the registry, with few units, was fitted with each flag, callback or habit, with one batch and with
sixteen batches a training step ([`batches_per_step`](training.md#several-batches-a-step) of the datamodule). *Works*:
it does what Lightning's documentation says. *Falls back*: this run takes one batch a step, where it works, and a
warning says so. *Refused*: an error of one line says what is wrong and what to use instead.

With several batches a step a callback of your own works unless it has a hook for single batches or updates; one that
has, and does not mind to be called once for several batches, says so with the class attribute `takes_chunks = True`.

What reads `trainer.num_training_batches` or `trainer.estimated_stepping_batches` in a callback of its own sees training
steps there, of which one may make several updates; `trainer.global_step` counts updates.

The table is written by `python tests/trainer_habits.py`; a test compares it with what happens.

| flag, callback or habit | one batch a step | sixteen batches a step |
|---|---|---|
"""

if __name__ == "__main__":
    import tempfile

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as place:
        PAGE.write_text(page(table(zoo.list_models(), place)))
    sys.stdout.write(f"{PAGE}\n")

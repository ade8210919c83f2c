"""Recipes: a model, its data, the trainer's settings and the claim, in one YAML file each."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.errors import unknown
from zoo.recipes.claims import Claim
from zoo.recipes.schema import read_recipe

HERE = Path(__file__).parent
RUNS = Path("runs")
RESERVED = ("benchmark", "tune", "verify")
"""Folders of ``RUNS`` that hold other things than the runs of a recipe."""
HASHED = re.compile(r"-[0-9a-f]{8}$")
"""End of the title of a recipe that is a file elsewhere."""


@dataclass(frozen=True)
class Recipe:
    """Recipe: the content of a YAML file.

    Args:
        name: ``<model>.<tag>``, or the path of a user's own file.
        model: Name and arguments of the model.
        data: Name and arguments of the datamodule.
        trainer: Arguments of Lightning's ``Trainer``.
        seeds: Number of seeds a verification trains.
        minutes: Approximate training time of one seed on 2 cores.
        claim: What the verification must reach; see ``zoo.verification``.
        baselines: Names of baselines, see ``zoo.baselines``, and of other recipes that the model is compared with.
        measures: Names of further metrics of the trained model; see ``zoo.baselines``.
        tune: Search space of its hyper-parameters; see ``zoo.tuning.space``.
        note: Remark on the result.
        shipped_weights: How the package stores the weights of seed 0: ``float16``, ``int8`` (8 bits and a scale for
            each row, half the space), or ``none`` where the terms of the data do not allow to distribute them; those
            that ``zoo verify`` has trained on this machine are then used. It is not part of ``configuration``, since
            it changes nothing in what is trained: a result stays valid.
    """

    name: str
    model: dict[str, Any]
    data: dict[str, Any]
    trainer: dict[str, Any] = field(default_factory=dict)
    seeds: int = 1
    minutes: float = 1
    claim: list[Claim] = field(default_factory=list)
    baselines: list[str] = field(default_factory=list)
    measures: list[str] = field(default_factory=list)
    tune: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    shipped_weights: str = "float16"

    @property
    def is_file(self) -> bool:
        """Whether the recipe is a user's own file."""
        return self.name.endswith((".yaml", ".yml"))

    @property
    def title(self) -> str:
        """Name of the folder of runs and results.

        The recipe's name, or the stem of a user's file in the current folder. To the stem of a file elsewhere, of one
        that ends in ``.yml``, or of one whose stem is a name of another use, eight hexadecimal digits are appended, a
        checksum of its path from the current folder: no two files share their runs.
        """
        if not self.is_file:
            return self.name
        path = Path(os.path.relpath(Path(self.name).resolve(), Path.cwd().resolve()))
        taken = path.stem in (*list_recipes(), *RESERVED) or HASHED.search(path.stem) or path.suffix != ".yaml"
        if path.parent == Path() and not taken:
            return path.stem
        return f"{path.stem}-{hashlib.sha256(path.as_posix().encode()).hexdigest()[:8]}"

    @property
    def runs(self) -> Path:
        """Folder of all runs of this recipe."""
        return RUNS / self.title

    @property
    def verified(self) -> Path:
        """Folder of the seeds and the weights that ``zoo verify`` has trained with this configuration."""
        return RUNS / "verify" / self.title / self.configuration

    def load_weights(self) -> Any:
        """Build the model with its trained weights, in float32 and evaluation mode.

        They are the shipped ones; for a recipe whose weights are not shipped, those of seed 0 in ``verified``, which
        need not be those of the published result.

        Raises:
            FileNotFoundError: If there are none.
            ValueError: If the file is damaged.
        """
        from zoo import pretrained

        if self.shipped_weights != "none":
            return pretrained.load_weights(self.name)
        if not pretrained.weights_path(self.title, self.verified).exists():
            raise FileNotFoundError(
                f"{self.name}: no weights are shipped, because of the terms of the data or since it is a baseline: "
                f"`zoo verify {self.name} --seeds 1` trains them in about {self.minutes:g} min, or `zoo fit "
                f"{self.name}`, whose weights `--ckpt_path best` uses"
            )
        return pretrained.load_weights(self.title, self.verified)

    def new_run(self) -> Path:
        """Return the folder of the next run, ``runs/<recipe>/version_<n>``, which is not created yet."""
        taken = [int(path.name[8:]) for path in self.runs.glob("version_*") if path.name[8:].isdecimal()]
        return self.runs / f"version_{max(taken, default=-1) + 1}"

    def run_of(self, checkpoint: Path) -> Path | None:
        """Return the folder of the run that a checkpoint carries on; None for any but the last of a run of this recipe.

        Args:
            checkpoint: Path of the checkpoint.
        """
        path = checkpoint.resolve()
        own = path.parent.name == "checkpoints" and self.runs.resolve() in path.parents and path.name == "last.ckpt"
        return checkpoint.parent.parent if own else None

    def find_checkpoint(self, choice: str) -> Path:
        """Return the path of a checkpoint; ``last`` and ``best`` are those of the newest run.

        Raises:
            FileNotFoundError: If there is none.
        """
        if choice not in ("last", "best"):
            path = Path(choice)
            if not path.is_file():
                raise FileNotFoundError(f"{choice}: no such checkpoint; `last` and `best` are those of the newest run")
            return path
        found = sorted(self.runs.glob(f"version_*/checkpoints/{choice}.ckpt"), key=lambda path: path.stat().st_mtime)
        if not found:
            raise FileNotFoundError(f"no {choice} checkpoint under {self.runs}: `zoo fit {self.name}` makes one")
        return found[-1]

    @contextlib.contextmanager
    def _naming(self, section: str, overrides: Any) -> Iterator[None]:
        """Let an error inside the block name the user's own file and its section, unless settings replace it."""
        try:
            yield
        except ValueError as error:
            if not self.is_file or overrides:
                raise
            raise ValueError(f"{self.name}: section {section!r}: {error}") from error

    @property
    def configuration(self) -> str:
        """Short checksum of model, data and trainer settings; a renamed argument counts under its original name."""
        from datamodules.registry import find_datamodule
        from zoo.arguments import original_names
        from zoo.registry import find_model

        args = original_names(find_datamodule(self.data["name"]), self.data.get("args", {}))
        if not args.get("augment"):  # whose random numbers are drawn for several batches together
            args.pop("batches_per_step", None)
        model = self.model
        if "args" in model:
            model = {**model, "args": original_names(find_model(model["name"]).cls, model["args"])}
        parts = json.dumps([model, {**self.data, "args": args}, self.trainer], sort_keys=True)
        return hashlib.sha256(parts.encode()).hexdigest()[:12]

    def datamodule(self, seed: int = 0, **overrides: Any) -> Any:
        """Build the datamodule."""
        from datamodules.registry import create_datamodule, find_datamodule
        from zoo.arguments import check_arguments
        from zoo.building import refusing

        name = self.data["name"]
        args = {"seed": seed, **self.data.get("args", {}), **overrides}
        with self._naming("data", overrides):
            checked = check_arguments(f"datamodule {name}", find_datamodule(name), args)
            with refusing(f"datamodule {name}", checked):
                return create_datamodule(name, **checked)

    def create_model(self, spec: dict[str, Any], **overrides: Any) -> Any:
        """Build the model; arguments that are not set are taken from a datamodule's ``spec``."""
        from zoo.arguments import signature
        from zoo.registry import build_model, find_model

        with self._naming("model", overrides):
            known = signature(find_model(self.model["name"]).cls)
            args = {key: value for key, value in spec.items() if key in known}
            return build_model(self.model["name"], **{**args, **self.model.get("args", {}), **overrides})

    def _used(self, seed: int, **overrides: dict[str, Any] | None) -> dict[str, Any]:
        """Return the recipe's content with the settings that replace its own, and the seed."""
        used: dict[str, Any] = {"recipe": self.name, "seed": seed}
        for section in ("model", "data"):
            own = getattr(self, section)
            used[section] = {"name": own["name"], "args": {**own.get("args", {}), **(overrides[section] or {})}}
        return {**used, "trainer": {**self.trainer, **(overrides["trainer"] or {})}}

    def build(
        self,
        *,
        model: dict[str, Any] | None = None,
        data: dict[str, Any] | None = None,
        trainer: dict[str, Any] | None = None,
        seed: int = 0,
        run: str | os.PathLike[str] | None = None,
        learned: dict[str, Any] | None = None,
        start: str | os.PathLike[str] | None = None,
    ) -> tuple[Any, Any, Any]:
        """Build model, datamodule and trainer.

        Args:
            model: Arguments of the model that replace the recipe's.
            data: Arguments of the datamodule, likewise.
            trainer: Arguments of Lightning's ``Trainer``, likewise.
            seed: Seed of weights, data order and everything else that is random.
            run: Folder of the run's logs and checkpoints; a new one under ``runs/<recipe>/`` if None.
            learned: Hyper-parameters of a trained model, whose vocabulary, classes and the like are adopted instead of
                being learned from the data again.
            start: Recipe or checkpoint whose weights the model starts from; see ``zoo.recipes.transfer``.

        Returns:
            The model, the datamodule and the trainer, ready for ``trainer.fit(model, data)``.

        Raises:
            ValueError: If a name, an argument or a value is wrong.
        """
        import lightning as L
        from lightning.pytorch.callbacks import TQDMProgressBar
        from lightning.pytorch.loggers import TensorBoardLogger

        from zoo.arguments import check_arguments
        from zoo.building import refusing
        from zoo.callbacks import default_callbacks
        from zoo.recipes import transfer
        from zoo.training.checkpoint_io import with_atomic_writing
        from zoo.training.profiler import NoProfiler

        with self._naming("trainer", trainer):
            settings = check_arguments("the trainer", L.Trainer, {**self.trainer, **(trainer or {})})
        L.seed_everything(seed, verbose=False)
        trained = transfer.load_start(self, start) if start is not None else None
        datamodule = self.datamodule(**{"seed": seed, **(data or {})})
        adopted = {}
        if trained is not None:
            learned = transfer.carried_over(trained, datamodule)
        if learned:
            datamodule.adopt(learned)
            keys = (*datamodule.learned, *transfer.NORMALISATION)
            adopted = {key: learned[key] for key in keys if learned.get(key) is not None}
        module = self.create_model({**datamodule.spec, **adopted}, **(model or {}))
        if trained is not None:
            written = {**self.model.get("args", {}), **(model or {})}
            transfer.start_from(module, trained, os.fspath(start or ""), self, datamodule, written)
        run = Path(run) if run else self.new_run()
        version = run.name.removeprefix("version_")
        number = int(version) if version.isdigit() else None  # a number is what the progress bar has room for
        logger = TensorBoardLogger(
            run.parent, name="", version=run.name if number is None else number, default_hp_metric=False
        )
        settings.setdefault("logger", logger)
        if settings.get("enable_checkpointing", True) and "callbacks" not in settings:
            used = self._used(seed, model=model, data=data, trainer=trainer)
            used |= {} if start is None else {"from": os.fspath(start)}
            settings["callbacks"] = default_callbacks(module, run / "checkpoints", used)
            if settings.get("enable_progress_bar", True):
                # Rich's bar, drawn at every step, slows a small model; this one does not.
                settings["callbacks"].append(TQDMProgressBar(max(1, 16 // datamodule.batches_per_step)))
        # Logging is by epoch, and a recipe is a run that has been seen to work.
        settings.setdefault("log_every_n_steps", 1)
        settings.setdefault("num_sanity_val_steps", 0)
        settings.setdefault("profiler", NoProfiler())
        settings["plugins"] = with_atomic_writing(settings.get("plugins"))
        with self._naming("trainer", trainer), refusing("the trainer", {**self.trainer, **(trainer or {})}):
            return module, datamodule, L.Trainer(**settings)


def list_recipes(pattern: str = "*") -> list[str]:
    """Return the sorted names of all recipes, or of those that match a wildcard pattern."""
    return sorted(fnmatch.filter((path.stem for path in HERE.glob("*.yaml")), pattern))


def load_recipe(name: str | os.PathLike[str]) -> Recipe:
    """Read a recipe by name, or a user's own YAML file by path.

    Raises:
        ValueError: If there is no such recipe, or the file does not say what a recipe says.
        FileNotFoundError: If there is no such file.
    """
    name = os.fspath(name)
    own = name.endswith((".yaml", ".yml"))
    path = Path(name) if own else HERE / f"{name}.yaml"
    if not path.is_file():
        if own:
            raise FileNotFoundError(f"{name}: no such file; `zoo list` names the recipes that come with the package")
        raise unknown("recipe", name, list_recipes())
    return Recipe(name=name, **read_recipe(path))


def create_model(name: str, *, pretrained: bool = False, **args: Any) -> Any:
    """Build a model by its own name, a recipe's model by the recipe's name, or one that is stored elsewhere.

    Args:
        name: ``"mlp"``, or ``"mlp.mnist"`` for the model with the settings of that recipe, or the place of a stored
            model: ``"hf-hub:user/name"``, ``"hf-hub:user/name@REVISION"`` or ``"local-dir:PATH"``.
        pretrained: Whether to load the recipe's shipped weights, or where none are shipped those that ``zoo verify``
            has trained; the model is then in evaluation mode.
        **args: Arguments of the model's constructor. Beside ``pretrained=True`` those that leave the features as they
            are: with another ``num_classes``, or ``class_names`` of another number, the output layer is new, which a
            warning says, and the model is in training mode; those of the optimisation, ``dropout`` and the like change
            no weights.

    Returns:
        The ``LightningModule``.

    Raises:
        ValueError: If a name or an argument is unknown, or a value is of the wrong type.
        FileNotFoundError: If there are no such weights.
    """
    from zoo import registry
    from zoo.pretrained.repository import create_from_place, is_place

    if is_place(name):
        model, data = create_from_place(name, {} if pretrained else args, pretrained)
        return _fine_tuned(model, args, name, data) if pretrained and args else model
    if "." not in name:
        if pretrained:
            near = list_recipes(f"{name}.*")
            raise ValueError(f"pretrained weights belong to a recipe, not to {name!r}: choose from {', '.join(near)}")
        return registry.build_model(name, **args)
    recipe = load_recipe(name)
    if not pretrained:
        return recipe.create_model(recipe.datamodule().spec, **args)
    model = recipe.load_weights()
    return _fine_tuned(model, args, name, recipe.data["name"]) if args else model


def _fine_tuned(model: Any, args: dict[str, Any], name: str, data: str | None) -> Any:
    """Return a trained model with other arguments; see ``zoo.recipes.transfer``."""
    from datamodules.registry import find_datamodule, list_datamodules
    from zoo.recipes.transfer import with_arguments

    source: Any = find_datamodule(data) if data in list_datamodules() else None
    return with_arguments(model, args, name, source.learned if source else ())

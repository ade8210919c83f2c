"""Settings of a run in TensorBoard, as text and in the HParams page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import lightning as L
import yaml
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from zoo.callbacks.tensorboard import TensorBoardCallback, tensorboard_logger
from zoo.training.contents import as_plain
from zoo.training.trainer_flags import datamodule_in_use

LONGEST = 100
"""Characters of a setting that are shown; a tokenizer has a million."""
MOST = 20
"""Elements of a list that are shown."""


class Settings(TensorBoardCallback):
    """Log the settings of a run as the text ``settings`` and as a row of the HParams page.

    The row has the arguments of model and datamodule and settings of the trainer, such as ``model/lr``,
    ``data/batch_size`` and ``trainer/max_epochs``. Its metrics are the last values of all scalars; one of them is
    ``best_<monitor>``, the best value of the model's ``monitor``.

    Args:
        recipe: Content of the recipe as used, with its sections ``model``, ``data`` and ``trainer``, plain data, which
            the text then shows. Without it the text shows what the row does.
    """

    def __init__(self, recipe: Mapping[str, Any] | None = None) -> None:
        self.recipe = dict(recipe or {})

    def begin(self, model: Any, writer: Any, step: int) -> None:
        """Log text and row."""
        trainer = model.trainer
        # Lightning would write a row with the metric hp_metric, -1, and TensorBoard shows the first row of a run.
        vars(tensorboard_logger(trainer))["_default_hp_metric"] = False
        data, sections = datamodule_in_use(trainer), self.recipe
        row = {
            "trainer": {"max_epochs": trainer.max_epochs},
            **sections,
            "model": {"name": _name(sections.get("model"), model), **model.hparams},
            "data": {"name": _name(sections.get("data"), data), **getattr(data, "hparams", {})},
        }
        text = yaml.safe_dump(as_shown(sections or row), sort_keys=False, width=110, allow_unicode=True)
        writer.add_text("settings", f"```yaml\n{text}```", step)
        _write(writer, "session_start_info", dict(flattened(row)))
        writer.flush()

    def finish(self, model: Any, writer: Any, step: int) -> None:
        """Log the best value of the monitored metric, and that the run is over."""
        best = best_score(model.trainer, model.monitor)
        if best is not None:
            writer.add_scalar(f"best_{model.monitor}", best, step)
        _write(writer, "session_end_info", {})
        writer.flush()


def best_score(trainer: L.Trainer, monitor: str) -> float | None:
    """Return the best value of a metric that a checkpoint or early stopping of the trainer has kept, else None."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        kept = isinstance(callback, (ModelCheckpoint, EarlyStopping)) and callback.monitor == monitor
        score = getattr(callback, "best_model_score", getattr(callback, "best_score", None)) if kept else None
        if score is not None and score.isfinite():
            return float(score)
    return None


def flattened(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | bool | str]]:
    """Yield nested settings as names, such as ``model/lr``, and numbers, truth values or strings.

    Lists and None are written as in JSON; long values are cut.
    """
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{prefix}{key}/")
        else:
            shown = as_shown(value)
            yield f"{prefix}{key}", shown if isinstance(shown, (bool, int, float, str)) else _cut(json.dumps(shown))


def as_shown(value: Any) -> Any:
    """Return settings as plain data in which long strings and lists are cut, and other objects are named."""
    value = as_plain(value)
    if isinstance(value, dict):
        return {key: as_shown(part) for key, part in value.items()}
    if isinstance(value, list):
        more = [f"… {len(value)} in all"] if len(value) > MOST else []
        return [as_shown(part) for part in value[:MOST]] + more
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return _cut(value) if isinstance(value, str) else type(value).__name__


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _name(section: Any, used: Any) -> str:
    """Return the name of a model or datamodule: the recipe's, its own, or its class."""
    if section:
        return section["name"]
    return "loaders" if used is None else getattr(used, "name", type(used).__name__)


def _write(writer: Any, tag: str, row: Mapping[str, float | bool | str]) -> None:
    """Write a message of TensorBoard's HParams plugin.

    No list of metrics is written (``add_hparams`` does): the page would use that of one run for all of them.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2
    from tensorboard.plugins.hparams.api_pb2 import Status

    content = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION)
    message = getattr(content, tag)
    if tag == "session_end_info":
        message.status = Status.Value("STATUS_SUCCESS")
    else:
        message.SetInParent()
    for name, value in row.items():
        kind = "bool" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"
        setattr(message.hparams[name], f"{kind}_value", value)
    plugin = SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME, content=content.SerializeToString())
    value = Summary.Value(tag=getattr(metadata, f"{tag.upper()}_TAG"), metadata=SummaryMetadata(plugin_data=plugin))
    writer.file_writer.add_summary(Summary(value=[value]))

"""`txwatch train`: fits a model for the `model` detector to the windows of a CSV."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import click

from producer.reading.source import STDIN
from producer.reading_options import GroupedCommand, layout_from, reading_options
from service.cli.common import FAILED, OK, common_options, complain, say
from service.cli.labels import with_label
from service.core.detectors.features import FEATURES, fault_of_features
from service.settings import load

DEFAULT_FEATURES: Final = "sum,count,max,mean,score"
DEFAULT_SHARE: Final = 0.01


def read_features(_context: click.Context, _option: click.Parameter, text: str) -> tuple[str, ...]:
    """Read --features."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if (fault := fault_of_features(names)) is not None:
        raise click.BadParameter(fault)
    return names


def read_number(_context: click.Context, _option: click.Parameter, value: float | None) -> float | None:
    """Check --contamination and --limit."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number")
    return value


@click.command(cls=GroupedCommand)
@common_options
@click.option(
    "--csv",
    "path",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    required=True,
    help="Transactions; - is standard input, .gz is unpacked.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The model: FILE.onnx.")
@click.option(
    "--label",
    metavar="COLUMN",
    help="A column with 1 or true in bad records: fits a gradient-boosted classifier, whose score is a probability. A "
    "window is bad if any of its records is. Without it: an isolation forest, which needs no labels.",
)
@click.option(
    "--features",
    metavar="NAME,...",
    default=DEFAULT_FEATURES,
    show_default=True,
    callback=read_features,
    help=f"What the model gets of each window, in this order: {', '.join(FEATURES)}.",
)
@click.option(
    "--contamination",
    metavar="SHARE",
    type=click.FloatRange(0, 0.5, min_open=True),
    callback=read_number,
    help=f"Without --label: at most this share of the windows is above the limit.  [default: {DEFAULT_SHARE}]",
)
@click.option(
    "--limit",
    type=float,
    callback=read_number,
    help="The limit of the scores.  [default: by --contamination; with --label 0.5]",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the fit's chance.")
@reading_options
@click.pass_obj
def train(
    outer: Path | None,
    /,
    config: Path | None,
    *,
    path: str,
    output: Path,
    label: str | None,
    features: tuple[str, ...],
    contamination: float | None,
    limit: float | None,
    seed: int,
    **reading: Any,  # noqa: ANN401 - click's values, checked by layout_from
) -> int:
    """Fit a model for the detector `model` to the windows of a CSV. Needs the extra txwatch[train].

    Windows are of event time, by WINDOW_SIZE_MS and WATERMARK_LATENESS_MS. It prints what the model would have
    flagged, and the table for the settings.
    """
    if contamination is not None and (label is not None or limit is not None):
        raise click.UsageError(f"--contamination is of no use with {'--label' if label is not None else '--limit'}")
    if path != STDIN and output.exists() and Path(path).exists() and output.samefile(path):
        raise click.UsageError(f"--output {output} is the file that --csv reads")
    layout = with_label(layout_from(reading), label)
    settings = load(config or outer).settings
    # Late, so that --help and a wrong option answer at once.
    from service.app.csv_file import CsvFile  # noqa: PLC0415
    from service.app.training import TrainingError, read_examples, write  # noqa: PLC0415
    from service.app.training import train as fit  # noqa: PLC0415
    from service.history.training.report import flagged, table  # noqa: PLC0415
    from service.process.stop import stopped_by_signals  # noqa: PLC0415

    with stopped_by_signals() as stop:
        try:
            read = read_examples(CsvFile(path, layout, stop), settings, features, labelled=label is not None)
            if stop.asked():
                return OK
            trained = fit(read, seed=seed, limit=limit, share=contamination or DEFAULT_SHARE)
            if stop.asked():
                return OK
            write(trained.fitted.onnx, output)
        except TrainingError as error:
            return OK if stop.asked() else complain(str(error), FAILED)
        except OSError as error:
            return complain(f"--output {output}: {error.strerror}", FAILED)
        tally, examples = read.tally, read.examples
        counts = {
            "rejected": read.malformed + sum(tally.rejected.values()),
            "with an empty cell": read.skipped,
            "late": tally.late,
            f"whose {label} is neither 1, true, 0, false nor empty": read.odd_labels,
        }
        others = "".join(f", {count} {name}" for name, count in counts.items() if count)
        say(f"{output}: {trained.fitted.kind} over {', '.join(features)}")
        say(f"Fitted to {len(examples)} windows of {len(set(examples.ids))} ids; {tally.records} rows{others}.")
        for line in flagged(examples, trained.scores, trained.limit, read.bad):
            say(line)
        say("")
        for line in table(str(output), features, trained.limit, settings.window.size_ms):
            say(line)
    return OK

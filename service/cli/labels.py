"""The option --label of commands that read a CSV."""

from __future__ import annotations

import dataclasses

import click

from producer.reading.columns import check_numbers
from producer.reading.errors import BadFormatError
from producer.reading.layout import Layout


def with_label(layout: Layout, label: str | None) -> Layout:
    """The layout with the column of labels, where there is one.

    Raises:
        click.BadParameter: the file has no header, and ``label`` is no column's number.
    """
    if label is None:
        return layout
    try:
        if not layout.header:
            check_numbers(layout.columns, (label,))
    except BadFormatError as error:
        raise click.BadParameter(str(error), param_hint="--label") from error
    return dataclasses.replace(layout, extra=(label,))

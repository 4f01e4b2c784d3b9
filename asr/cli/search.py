"""Options of the commands that search with a trained system."""

from __future__ import annotations

from typing import Annotated

import typer

SearchChanges = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting of the search, as in search.beam=8: narrower is faster.",
    ),
]
OnePass = Annotated[
    bool,
    typer.Option(
        "--one-pass",
        help="Search once, without adapting to the speaker (mfcc_hybrid: with its mixtures alone); faster.",
    ),
]

"""`auscult simulate`: write simulated lung sounds in the layouts of real datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    help="Simulated lung sounds with known events, in the layouts of real datasets.", no_args_is_help=True
)

_Seed = Annotated[int, typer.Option(min=0, help="Seed of everything drawn: equal seeds give equal bytes.")]


@app.command()
def dataset(
    layout: Annotated[str, typer.Argument(help="icbhi, jordan, bd, perch, antwerp or antwerp_sim")],
    out: Annotated[Path, typer.Option(help="Folder to write into; must be empty or absent.")],
    patients: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 20,
    seed: _Seed = 0,
    *,
    shortest: Annotated[float, typer.Option(help="Length of the shortest recording in seconds.")] = 8.0,
    longest: Annotated[float, typer.Option(help="Length of the longest recording in seconds.")] = 20.0,
    variant: Annotated[Literal["a", "b"], typer.Option(help="Which kind of copy in the wild is written.")] = "a",
) -> None:
    """Write one dataset."""
    # Imported here: `auscult --help` needs neither scipy nor openpyxl.
    from auscult.simulate.run import write_dataset  # noqa: PLC0415

    written = write_dataset(
        layout,
        out,
        n_patients=patients,
        seed=seed,
        duration_s=(shortest, longest),
        variant=variant,
    )
    typer.echo(f"{len(written)} recordings of {patients} patients, layout {layout}, seed {seed}: {out}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write into; must be empty or absent.")] = Path("data"),
    seed: _Seed = 0,
) -> None:
    """Write the demo: six small datasets, a folder each."""
    from auscult.simulate.demo import write_demo  # noqa: PLC0415

    for name, written in write_demo(out, seed).items():
        patients = {recording.patient.patient_id for recording in written}
        typer.echo(f"{name}: {len(written)} recordings of {len(patients)} patients")

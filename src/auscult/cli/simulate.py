"""`auscult simulate`: write simulated lung sounds in the layouts of real datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from auscult.config.dataset import LAYOUTS
from auscult.logs import say

app = typer.Typer(
    help="Simulated lung sounds with known events, in the layouts of real datasets.", no_args_is_help=True
)

_Seed = Annotated[int, typer.Option(min=0, help="Seed of everything drawn: equal seeds give equal bytes.")]


@app.command()
def dataset(
    layout: Annotated[str, typer.Argument(help=f"One of {', '.join(LAYOUTS)}.")],
    out: Annotated[Path, typer.Option(help="Folder to write into; must be empty or absent.")],
    patients: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 20,
    seed: _Seed = 0,
    *,
    shortest: Annotated[
        float | None, typer.Option(help="Length of the shortest recording in seconds.", show_default="8, hf_lung 15")
    ] = None,
    longest: Annotated[
        float | None, typer.Option(help="Length of the longest recording in seconds.", show_default="20, hf_lung 15")
    ] = None,
    variant: Annotated[Literal["a", "b"], typer.Option(help="Which kind of copy in the wild is written.")] = "a",
) -> None:
    """Write one dataset, and print the YAML that reads it: put that into config/datasets/<name>.yaml."""
    # Imported here: `auscult --help` needs neither scipy nor openpyxl.
    from auscult_simulate.dataset_yaml import dataset_yaml  # noqa: PLC0415
    from auscult_simulate.write import usual_duration_s, write_dataset, write_mark  # noqa: PLC0415

    usual = usual_duration_s(layout)
    written = write_dataset(
        layout,
        out,
        n_patients=patients,
        seed=seed,
        duration_s=(usual[0] if shortest is None else shortest, usual[1] if longest is None else longest),
        variant=variant,
    )
    write_mark(out)
    say(f"# {len(written)} recordings of {patients} patients, layout {layout}, seed {seed}: {out}")
    typer.echo(dataset_yaml(layout, out, variant), nl=False)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write into; must be empty or absent.")] = Path("data"),
    seed: _Seed = 0,
) -> None:
    """Write the demo: six small datasets, a folder each."""
    from auscult_simulate.demo import write_demo  # noqa: PLC0415

    for name, written in write_demo(out, seed).items():
        patients = {recording.patient.patient_id for recording in written}
        say(f"{name}: {len(written)} recordings of {len(patients)} patients")

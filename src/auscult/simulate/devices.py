"""What stethoscopes and microphones do to the sound at the skin."""

from __future__ import annotations

from dataclasses import dataclass

from auscult.simulate.response import Response


@dataclass(frozen=True)
class Device:
    """A recording device.

    Attributes:
        response: From the skin to the file.
        noise_db: Its own noise below the breath noise at peak flow, in dB.
    """

    response: Response
    noise_db: float


LITTMANN_BELL = Response(((20, 4), (60, 8), (200, 0), (400, -7), (700, -16), (1000, -28), (2000, -62)))
LITTMANN_DIAPHRAGM = Response(((20, -16), (60, -8), (100, 0), (250, 4), (500, 2), (800, -10), (1200, -26), (2000, -60)))
LITTMANN_EXTENDED = Response(((20, -6), (50, 0), (150, 3), (500, 2), (800, -10), (1200, -26), (2000, -60)))
"""The 3M Littmann 3200 emphasises 20 to 200 Hz as a bell, 100 to 500 Hz as a diaphragm and 50 to 500 Hz in its
extended range (its manual; Fraiwan et al. 2021, Data in Brief 35:106913, whose KAUH recordings are stored through all
three)."""

FILTERS = {"B": LITTMANN_BELL, "D": LITTMANN_DIAPHRAGM, "E": LITTMANN_EXTENDED}

DEVICES: dict[str, Device] = {
    # A small condenser microphone, coupled by air: nearly flat.
    "AKGC417L": Device(Response(((20, -6), (60, 0), (800, 0), (2000, 2), (10000, 0))), 38.0),
    # An acoustic stethoscope, whose bell and tubes resonate (Ertel et al. 1966, Circulation 34:889); where is a choice.
    "LittC2SE": Device(Response(((20, 0), (100, 8), (200, 0), (400, 4), (800, -9), (1500, -14), (4000, -30))), 42.0),
    "Litt3200": Device(LITTMANN_EXTENDED, 48.0),
    "Meditron": Device(Response(((20, 2), (60, 6), (150, 0), (600, -3), (1200, 0), (2000, -6), (8000, -30))), 40.0),
    # An amplified stethoscope with an electrical diaphragm, as used in PERCH and its sister studies.
    "ds32a": Device(Response(((20, -4), (60, 2), (200, 3), (700, 0), (1000, -4), (2000, -14))), 40.0),
}
"""Devices by their names in ICBHI's file names, and the one of PERCH and BD. Curves are typical, not measured."""

# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Figures of a bench: medians, ratios within one run, and a table that says what they are."""

from __future__ import annotations

import argparse
import statistics


def rounds(what: str, default: int = 5) -> int:
    """Read from the command line how often to measure."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--rounds", type=int, default=default, help="how often each figure is measured (%(default)s)")
    return parser.parse_args().rounds


class Figures:
    """Named series of measurements."""

    def __init__(self) -> None:
        self.series: dict[str, list[float]] = {}

    def add(self, name: str, value: float) -> None:
        """Add one measurement."""
        self.series.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        """Return the median of a series."""
        return statistics.median(self.series[name])

    def show(self, unit: str) -> None:
        """Print every series: median, lowest and highest."""
        for name, values in self.series.items():
            print(f"{name:<66} median {statistics.median(values):8.3f} {unit}   ({min(values):.3f} to {max(values):.3f}, n={len(values)})")

    def ratio(self, name: str, over: str, goal: str = "") -> None:
        """Print the ratio of two medians."""
        print(f"{name} / {over}: {self.median(name) / self.median(over):.3g}{f'   (goal: {goal})' if goal else ''}")

# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ansible-test runs in place of get-pip.py: the project's own pip fills the environment that runs this script."""

from __future__ import annotations

import os
import sys

project = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
python = os.path.join(project, ".venv", "bin", "python")
packages = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
os.execv(python, [python, "-m", "pip", "--python", sys.executable, "install", *packages])

"""Print the oldest versions that the package allows, of what it needs and of the extras in ``all``, for pip."""

import re
from pathlib import Path

import tomllib

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
chosen = re.findall(r"[a-z]+", extras["all"][0].partition("[")[2])
needed = [*project["dependencies"], *(requirement for extra in chosen for requirement in extras[extra])]
print("\n".join(requirement.replace(">=", "==") for requirement in needed))

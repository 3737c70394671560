"""Made by `costweir render`. Makes the tokens that Prometheus and Grafana read Costweir with, unless they are there."""

import json
import subprocess
from pathlib import Path

FOLDER = Path("/run/tokens")

for name in ("metrics", "grafana"):
    path = FOLDER / name
    if path.exists():
        continue
    command = ["costweir", "token", "create", "--scope", "read", "--name", name, "--json"]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    part = FOLDER / f".{name}"
    part.write_text(json.loads(made.stdout)["token"])
    # Only the services that mount this volume see it, as users of their own.
    part.chmod(0o444)
    part.replace(path)
    print(
        json.dumps({"severity": "INFO", "event": "token", "message": f"made the token of {name}"}), flush=True
    )

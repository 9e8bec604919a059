"""A repository with data in DVC, and the commands that a person types in it."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.workflow.conftest import BUCKET

BIN = Path(sys.executable).parent
COMMAND_TIMEOUT_S = 180


class Repository:
    """A clone with the project's DVC settings, and commands that a person would type in it."""

    def __init__(self, root, home):
        self.root = root
        self.environment = {
            "PATH": f"{BIN}:/usr/bin:/bin",
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@example.org",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@example.org",
            "DVC_NO_ANALYTICS": "1",
            # The emulator knows no hierarchical namespaces; asked about them, push and pull would hang.
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }

    def __call__(self, command):
        """Run one command line, without a shell, and return what it prints."""
        done = subprocess.run(
            command.split(" "),
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def use_bucket(self, url):
        self(f"dvc remote modify --local gcs url gs://{BUCKET}/auscult")
        self(f"dvc remote modify --local gcs endpointurl {url}")
        self("dvc remote modify --local gcs allow_anonymous_login true")

    def wipe(self):
        shutil.rmtree(self.root / "data")
        shutil.rmtree(self.root / ".dvc" / "cache")

    def checksums(self):
        files = sorted(path for path in (self.root / "data").rglob("*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

"""The README as a package index shows it, made at each build from the one setting."""

import sys
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class CustomMetadataHook(MetadataHookInterface):
    """Its links are absolute as soon as a repository is named (see `tools.repository`)."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Change the table `[project]`, in place."""
        sys.path.insert(0, self.root)
        try:
            from tools.repository import parse, readme_for_index
        finally:
            sys.path.remove(self.root)
        repository = parse(metadata["urls"]["Repository"])
        readme = (Path(self.root) / "README.md").read_text("utf-8")
        text = readme_for_index(readme, repository)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}

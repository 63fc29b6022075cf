"""A contract for import-linter: in a folder of choices (models/, stores/) no choice imports another.

What its files share stands beside them in modules whose names start with an underscore; those may be imported.
"""

from collections.abc import Iterator
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class ChoicesContract(Contract):
    """No public child of the `folders` is imported by another child of its folder."""

    type_name = "choices"
    folders = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001 - import-linter's own
        """Find what one choice imports of another."""
        wrong = sorted(line for folder in cast("list[str]", self.folders) for line in _wrong_imports(graph, folder))
        return ContractCheck(kept=not wrong, metadata={"wrong": wrong})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each such import."""
        for line in cast("list[str]", check.metadata["wrong"]):
            output.print_error(line)


def _wrong_imports(graph: ImportGraph, folder: str) -> Iterator[str]:
    inside = f"{folder}."
    for importer in graph.find_descendants(folder) if folder in graph.modules else ():
        for imported in graph.find_modules_directly_imported_by(importer):
            choice = imported.removeprefix(inside).partition(".")[0]
            own = importer.removeprefix(inside).partition(".")[0]
            if imported.startswith(inside) and choice != own and not choice.startswith("_"):
                yield f"{importer} imports {imported}"

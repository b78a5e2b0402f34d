"""What the mutation run takes out of a source, one at a time."""

import ast

from tools.mutation.mutants import mutants

SOURCE = """
def change(self):
    self._hold()
    os.fsync(descriptor)
    if later:
        raise PreconditionFailedError("too late")
    objects.write(key, data, only_if_absent=True)
    objects.replace(key, data, expected_etag=tag)
    objects.move(source, target, expected_etag=tag)
    harmless()


def take_over(self):
    if problem:
        raise CannotLoadError(problem)
    self._try(target)
    slot.point_to(folder)
    harmless()
"""


def test_each_hold_precondition_sync_and_refusal_goes_once() -> None:
    found = sorted((one for one in mutants(SOURCE) if "too early" not in one.what), key=lambda mutant: mutant.line)
    assert [(mutant.line, mutant.what) for mutant in found] == [
        (3, "without self._hold()"),
        (4, "without os.fsync(descriptor)"),
        (5, "without a refusal"),
        (7, "write() replaces what is there"),
        (8, "replace() without its condition"),
        (9, "move() of whatever is there"),
        (14, "without a refusal"),
        (16, "without self._try(target)"),
        (17, "without slot.point_to(folder)"),
    ]
    unchanged = ast.unparse(ast.parse(SOURCE))
    assert len({mutant.source for mutant in found} - {unchanged}) == 9


def test_neighbouring_writes_are_exchanged_once() -> None:
    found = [mutant for mutant in mutants(SOURCE) if "too early" in mutant.what]
    assert [mutant.line for mutant in found] == [8, 9, 17]
    assert ast.unparse(ast.parse(SOURCE)) not in {mutant.source for mutant in found}
    moved, replaced = (found[1].source.index(f"objects.{name}(") for name in ("move", "replace"))
    assert moved < replaced

"""What people of the study answered: a CSV that grows by one whole line an answer, so that nothing is lost when a page is closed."""

import csv
import io
import os
import re
import secrets
from collections.abc import Sequence
from os import PathLike

import numpy as np
import pandas as pd

from foir_lib.errors import InputError
from foir_lib.files import DISK, as_path, disk_errors
from foir_lib.view.study.protocol import GROUPS

COLUMNS = ("participant", "group", "question", "query", "outlined", "picks", "true", "seconds", "correct", "helpful")
IDENTITY = re.compile(r"[0-9a-f]{8}")


class Record:
    """Answers in ``path``: a line for each question (picks and true: positions, seconds, correct picks), and one for how helpful outlines were."""

    def __init__(self, path: str | PathLike):
        self.path = as_path(path)

    def rows(self) -> pd.DataFrame:
        """All whole lines; what a killed writer left half written, and what is answered twice, counts once or not at all."""
        content = self.path.read_bytes() if self.path.is_file() else b""
        lines = content[: content.rfind(b"\n") + 1].decode("utf-8", "replace").splitlines()
        kept = [row for row in csv.reader(lines) if len(row) == len(COLUMNS) and IDENTITY.fullmatch(row[0])]
        table = pd.DataFrame(kept, columns=list(COLUMNS)).drop_duplicates(["participant", "question"], ignore_index=True)
        for name in ("group", "query", "outlined", "seconds", "correct", "helpful"):
            table[name] = pd.to_numeric(table[name], errors="coerce")
        return table

    def join(self, participant: str = "") -> tuple[str, int]:
        """An anonymous id and its group: a new one, of the group with the fewest people, or one that has answered before.

        Raises InputError for an id that nobody has here.
        """
        groups = self.rows().drop_duplicates("participant").set_index("participant")["group"].astype(int)
        if not participant.strip():
            return secrets.token_hex(4), int(np.bincount(groups, minlength=GROUPS).argmin())
        if participant.strip() not in groups.index:
            raise InputError(f"Nobody has answered as {participant.strip()[:20]!r} yet: leave the field empty to begin.")
        return participant.strip(), int(groups[participant.strip()])

    def answered(self, participant: str) -> set[str]:
        """What a person has answered: numbers of questions as text, and "helpful"."""
        rows = self.rows()
        return set(rows["question"][rows["participant"] == participant])

    def answer(self, participant: str, group: int, question: int, query: int, outlined: bool, picks: Sequence[int], true: Sequence[int], seconds: float) -> None:
        """Add an answer. Raises InputError for picks that aren't as many as are true, or a time that is none."""
        if len(set(picks)) != len(true) or len(picks) != len(true):
            raise InputError(f"{len(set(picks))} pictures are picked: pick exactly {len(true)}.")
        if not (np.isfinite(seconds) and seconds > 0):
            raise InputError(f"{seconds} seconds is no time: reload the page.")
        hits = len(set(picks) & set(true))
        listed = [" ".join(str(int(at)) for at in sorted(some)) for some in (picks, true)]
        self._add(participant, group, question, query, int(outlined), *listed, f"{seconds:.3f}", hits, "")

    def helpful(self, participant: str, group: int, grade: int) -> None:
        """Add how helpful outlines were, 1 (not at all) to 7."""
        if isinstance(grade, bool) or grade not in range(1, 8):
            raise InputError(f"{grade!r} is no grade: choose 1 (not helpful) to 7 (very helpful).")
        self._add(participant, group, "helpful", "", "", "", "", "", "", int(grade))

    def _add(self, *values):
        """One write, at the end of the file, that is on the disk when this returns."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(values)
        with disk_errors(f"write {self.path}", DISK):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                size = os.fstat(handle).st_size
                head = "" if size else ",".join(COLUMNS) + "\n"
                if size and os.pread(handle, 1, size - 1) != b"\n":
                    head = "\n"  # after what a killed writer left
                os.write(handle, (head + text.getvalue()).encode())
                os.fsync(handle)
            finally:
                os.close(handle)

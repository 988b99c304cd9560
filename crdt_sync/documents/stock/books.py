"""What is done to periods as a whole: close one, fold it into the catalog, move on what came too late for that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from crdt_sync.documents.names import check_period
from crdt_sync.documents.roots import Roots, RootsView, Value
from crdt_sync.documents.schema import MOVEMENTS, check_writable
from crdt_sync.documents.stock.coverage import Coverage, Uncovered, countable_ids, read_covers
from crdt_sync.documents.stock.folding import fold_of, note_of, stage, stored
from crdt_sync.documents.stock.folds import Folds, is_countable, read_folds, read_notes
from crdt_sync.documents.stock.movements import Row
from crdt_sync.documents.stock.originals import entry_of
from crdt_sync.errors import FoldRefused, PeriodsMissing


class FoldStep(StrEnum):
    """How far a fold has got."""

    WRITTEN = "written"
    """Its rows are written and change nothing yet: fold again in a later edit."""
    FOLDED = "folded"
    """It counts from this edit on."""
    KNOWN = "known"
    """It was folded before, and nothing was written."""


class Late(NamedTuple):
    """A movement that came into a closed period after it was closed."""

    mid: str
    row: Row
    period: str


class Books:
    """The periods that an edit sees. Any number of replicas may do any of this; it takes effect once."""

    def __init__(  # noqa: PLR0913  what an edit knows of its periods, one by one
        self,
        catalog: Roots,
        period: str,
        documents: Mapping[str, RootsView],
        *,
        rid: str,
        folds: Callable[[], Folds],
        noted: Callable[[], list[str]],
        close: Callable[[Value], None],
        move_in: Callable[[str, Value, str], bool],
        uncovered: MutableMapping[str, Uncovered],
    ) -> None:
        """``uncovered`` remembers what was read of closed documents."""
        self._catalog = catalog
        self._period = period
        self._documents = documents
        self._rid = rid
        self._folds = folds
        self._noted = noted
        self._close = close
        self._move_in = move_in
        self._uncovered = uncovered
        self._begun: set[str] = set()

    def folded(self) -> list[str]:
        """The folded periods, sorted. Their documents need not be opened to know the stock."""
        return [*read_notes(self._catalog)[0]]

    def unfolded(self) -> list[str]:
        """The noted periods that no fold counts, sorted. The first one is the next to be folded."""
        notes, _ = read_notes(self._catalog)
        return [period for period in self._noted() if period not in notes]

    def close(self) -> bool:
        """Let the period of this edit take no more movements, and fix which ones its fold will count: those that are
        here. False when it was closed before, and nothing is written.

        For one replica of a tenant, the relay's: of two that close one period differently only one is heard. A period
        that sorts before a folded one is closed without any: all that it holds is late. Raises
        :class:`SchemaTooNew`."""
        document, (notes, _) = self._documents[self._period], read_notes(self._catalog)
        is_late = self._period < max(notes, default="")
        covers = read_covers(document)
        if self._period in notes or (covers is not None and (len(covers) == 0 or not is_late)):
            return False
        mids = () if is_late else countable_ids(document.keys(MOVEMENTS))
        self._close(Coverage(mids).encode())
        return True

    def fold(self, period: str) -> FoldStep:
        """Do the next step of folding a closed period. It takes two edits: what the movements come to is written in
        one, and in a later one that it counts.

        Raises :class:`FoldRefused` when an earlier period is not folded yet, when this one is not closed, has not
        arrived here as a whole, or was folded from other movements than its document names; :class:`PeriodsMissing`
        when its document is not open, :class:`SchemaTooNew`."""
        document, (notes, _) = self._documents.get(check_period(period)), read_notes(self._catalog)
        if document is None:
            raise PeriodsMissing([period])
        if period in notes:
            if note_of(period, document)[1:] != notes[period][1:]:
                raise FoldRefused(period, "it is folded already, from other movements than its document covers")
            return FoldStep.KNOWN
        if earlier := [other for other in self.unfolded() if other < period]:
            raise FoldRefused(period, f"{earlier[0]} comes first")
        check_writable(self._catalog)
        folds = read_folds(self._catalog)
        if not folds.is_whole:
            raise FoldRefused(period, "a fold of a later period has come here before one that it builds on")
        fold = fold_of(folds, period, document, self._rid)
        if stage(self._catalog, fold) or period in self._begun:
            self._begun.add(period)
            return FoldStep.WRITTEN
        self._catalog.put(*fold.switch)
        return FoldStep.FOLDED

    def late(self, *, of: str | None = None, periods: Collection[str] | None = None) -> list[Late]:
        """Movements, or just those of one replica, that stand in closed documents here (or in those of ``periods``), in
        no fold, and in no other period yet. They count for those who have these documents open, and for all once they
        have moved on. Reads all keys of these documents, and of each again only when something has come to it."""
        folds, found = self._folds(), dict[str, Late]()
        covers = {period: read_covers(document) for period, document in self._documents.items()}
        for period, document in self._documents.items():
            covered = covers[period]
            if covered is None or (periods is not None and period not in periods):
                continue
            for mid in self._outside(period, document, covered):
                if mid in found or folds.has_counted(mid):
                    continue
                row = entry_of(document, mid)
                if not isinstance(row, list) or not is_countable(mid, row) or self._is_elsewhere(mid, period, covers):
                    continue
                if of is None or (len(row) > 4 and row[4] == of):
                    found[mid] = Late(mid, row, period)
        return [*found.values()]

    def rehome(self, *, of: str | None = None, periods: Collection[str] | None = None) -> list[str]:
        """Move on into the period of this edit what :meth:`late` lists: the same movements under the same ids. Returns
        the ids. What is late in a later period than that stays where it is."""
        late = self.late(of=of, periods=periods)
        return [one.mid for one in late if self._move_in(one.mid, stored(one.row), one.period)]

    def without_late(self, of: str, periods: Collection[str] | None = None) -> list[str]:
        """The closed periods here in which nothing of this replica is late, and so never will be: a closed document
        takes no more of its movements."""
        late = {movement.period for movement in self.late(of=of, periods=periods)}
        return [
            period
            for period, document in self._documents.items()
            if period not in late and (periods is None or period in periods) and read_covers(document) is not None
        ]

    def _outside(self, period: str, document: RootsView, covered: Coverage) -> Sequence[str]:
        known = self._uncovered.get(period)
        if known is None or known.version != document.version:
            outside = [mid for mid in countable_ids(document.keys(MOVEMENTS)) if mid not in covered]
            known = self._uncovered[period] = Uncovered(document.version, outside)
        return known.mids

    def _is_elsewhere(self, mid: str, home: str, covers: Mapping[str, Coverage | None]) -> bool:
        for period, document in self._documents.items():
            if period != home and document.get(MOVEMENTS, mid) is not None:
                covered = covers[period]
                if covered is None or mid in covered:
                    return True
        return False


def is_over(period: str, now_ms: int, grace_days: int = 0) -> bool:
    """Whether a period ended at least so many days ago. Raises :class:`InvalidName`."""
    year, month, *day = map(int, check_period(period).split("-"))
    start = datetime(year, month, day[0] if day else 1, tzinfo=UTC)
    # No month is longer than 31 days, and the day after a month's 31st day is in the next one.
    end = start + timedelta(days=1) if day else (start + timedelta(days=31)).replace(day=1)
    return (end + timedelta(days=grace_days)).timestamp() * 1000 <= now_ms

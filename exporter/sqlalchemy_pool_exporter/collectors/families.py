"""Renders families from prepared text, into which each scrape fills the numbers.

prometheus_client builds two objects for each line and then prints it: fifteen times the work.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Generic, TypeAlias, TypeVar

from prometheus_client.utils import floatToGoString

from sqlalchemy_pool_exporter.collectors.exposition import Exposition, Scrape
from sqlalchemy_pool_metrics.families import Family
from sqlalchemy_pool_metrics.prometheus import build_metric

# For each source: about twice the numbers that a pool has.
MAX_ENDS: Final = 200
# Of more sources one has nearly always changed, and keeping them takes memory.
MAX_COMPARED: Final = 10

Source = TypeVar("Source")
Labels: TypeAlias = Mapping[str, str]
# The values of a family's own labels, for each series of one source.
OwnLabels: TypeAlias = Sequence[tuple[str, ...]]


class LineEnds(dict[float, str]):
    """Ends of lines: a number as prometheus_client prints it, except that negative zero is zero.

    Kept because most numbers of a scrape are also in the next one.
    """

    def __missing__(self, number: float) -> str:
        end = self[number] = f"{floatToGoString(number)}\n"  # type: ignore[no-untyped-call]
        return end


class FamilyRenderer(Generic[Source]):
    """Renders the families of sources of one kind, such as pools, at each scrape."""

    def __init__(self, families: Sequence[Family[Source]], *, of_values: bool = False) -> None:
        """Take the families.

        Args:
            families: What to render.
            of_values: The sources are immutable, and equal ones have the same numbers. While those
                of two scrapes are equal, their families are not read again.
        """
        self._families = families
        self._of_values = of_values
        # What was asked last, and the answer.
        self._last: tuple[object, list[bytes]] | None = None
        self._ends = LineEnds()
        self._labels: Sequence[Labels] = ()
        # By escaping: formats with the same one have the same lines, except for comments.
        self._prepared: dict[str, list[PreparedFamily[Source]]] = {}

    def render(self, scrape: Scrape, labelled: Iterable[tuple[Labels, Source]]) -> list[bytes]:
        """Return the families that the scrape selects, as pieces of the body.

        Args:
            scrape: What the client asked for.
            labelled: The labels and the source of each set of series.
        """
        labels, sources = [], []
        for each, source in labelled:
            labels.append(each)
            sources.append(source)
        if labels != self._labels:
            self._labels = labels  # another list tells the families that it changed
        asked = scrape, self._labels, sources
        if self._last and self._last[0] == asked:
            return self._last[1]
        rendered = self._render(scrape, sources)
        is_kept = self._of_values and len(sources) <= MAX_COMPARED
        self._last = (asked, rendered) if is_kept else None
        return rendered

    def _render(self, scrape: Scrape, sources: Sequence[Source]) -> list[bytes]:
        if len(self._ends) > MAX_ENDS * (1 + len(sources)):
            self._ends.clear()
        exposition = scrape.exposition
        if exposition.escaping not in self._prepared:
            prepared = [PreparedFamily(family) for family in self._families]
            self._prepared[exposition.escaping] = prepared
        rendered: list[bytes] = []
        for family in self._prepared[exposition.escaping]:
            if not scrape.names or not scrape.names.isdisjoint(family.names):
                lines = family.render_lines(exposition, self._labels, sources, self._ends)
                rendered += family.find_comments(exposition), lines
        return rendered


class PreparedFamily(Generic[Source]):
    """A family's text around the numbers: what prometheus_client prints for zeros.

    It is kept while the sources have the same labels and series, the whole text while their numbers
    are the same, too.
    """

    def __init__(self, family: Family[Source]) -> None:
        self.names = family.names
        self._family = family
        # By the format.
        self._comments: dict[str, bytes] = {}
        # The labels of each source, and those of its series.
        self._labels: Sequence[Labels] = ()
        self._own: list[OwnLabels] = []
        # By both: the beginning of each line.
        self._beginnings: dict[object, list[str]] = {}
        # In turn the beginning of a line and its end.
        self._pieces: list[str] = []
        self._numbers: list[float] = []
        self._text = b""

    def find_comments(self, exposition: Exposition) -> bytes:
        """Return HELP and TYPE."""
        comments = self._comments.get(exposition.content_type)
        if comments is None:
            comments = exposition.render([build_metric(self._family, [])]).encode()
            self._comments[exposition.content_type] = comments
        return comments

    def render_lines(
        self,
        exposition: Exposition,
        labels: Sequence[Labels],
        sources: Iterable[Source],
        ends: LineEnds,
    ) -> bytes:
        """Return a line for each number that the sources have now."""
        own: list[OwnLabels] = []
        numbers: list[float] = []
        for of_source, more in map(self._family.read, sources):
            own.append(of_source)
            numbers += more
        if labels is not self._labels or own != self._own:
            self._prepare(exposition, labels, own)
        if numbers != self._numbers:
            self._pieces[1::2] = map(ends.__getitem__, numbers)
            self._numbers, self._text = numbers, "".join(self._pieces).encode()
        return self._text

    def _prepare(
        self, exposition: Exposition, labels: Sequence[Labels], own: list[OwnLabels]
    ) -> None:
        """Put the lines together, and prepare those of new sources and series."""
        beginnings: dict[object, list[str]] = {}
        for source_labels, source_own in zip(labels, own, strict=True):
            key = tuple(source_labels.items()), tuple(source_own)
            known = self._beginnings.get(key)
            if known is None:
                known = self._begin_lines(exposition, source_labels, source_own)
            beginnings[key] = known
        flat = [beginning for each in beginnings.values() for beginning in each]
        self._pieces = [""] * (2 * len(flat))
        self._pieces[::2] = flat
        self._labels, self._own, self._beginnings = labels, own, beginnings
        self._numbers, self._text = [], b""

    def _begin_lines(self, exposition: Exposition, labels: Labels, own: OwnLabels) -> list[str]:
        metric = build_metric(self._family, [])
        for name, all_labels in self._family.list_samples(labels, own):
            metric.add_sample(name, all_labels, 0)
        text = exposition.render([metric]).removeprefix(self.find_comments(exposition).decode())
        # Line feeds in label values are escaped, so that each of these ends a line.
        return text.split("0.0\n")[:-1]


def read_label_names(labels: Iterable[Labels]) -> tuple[str, ...]:
    """Return the label names that any of the databases has, sorted."""
    return tuple(sorted({name for mapping in labels for name in mapping}))


def fill_labels(labels: Labels, names: Sequence[str]) -> dict[str, str]:
    """Return a value for each of `names`, empty for one that is not in `labels`."""
    return {name: labels.get(name, "") for name in names}

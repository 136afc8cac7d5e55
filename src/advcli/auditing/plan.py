"""The steps of an audit: which attacks run, with which options, and the command line of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from advcli.catalog import discovery
from advcli.catalog.params import flag_of
from advcli.catalog.requests import AuditRequest
from advcli.numerics.quantities import BUDGETS, diameter, fraction, shortest
from advcli.workspace.replay import quoted

SHARES = ("1/4", "1/2", "3/4", "1", "3/2", "2")  # of the budget, at which the curve has a point
SMALL, AT_A_TIME = (3, 32, 32), 256  # a small image, and how many of those are worked on at a time
FEW = 100  # images under budgets so large that everything must fall
MANY = 500  # images, beyond which proofs at every budget of the curve take too long
LONGER = 5  # times as many queries, where gradients are of no use
READ = {
    "leaves": "an attacker who knows the leaves of its trees",
    "references": "an attacker who knows its stored images",
    "planes": "the nearest hyperplane of a linear model",
}
RUNNING = ("seed", "batch_size", "device", "data_dir", "download", "allow")
CHOSEN = ("split", "limit", "per_class", "part", "classes", "image_size", "resize")


@dataclass(frozen=True, slots=True)
class Effort:
    """The images and the queries of an audit."""

    images: int | None
    queries: int


EFFORTS = {"quick": Effort(100, 200), "standard": Effort(1000, 1000), "full": Effort(None, 5000)}


@dataclass(frozen=True, slots=True)
class Step:
    """One attack of an audit: the question that it answers, the file that it makes, and the options of the verb."""

    name: str
    question: str
    given: dict[str, object]


@dataclass(frozen=True, slots=True)
class Subject:
    """The model and the images that are audited."""

    model: str
    data: str
    shape: tuple[int, int, int]
    asked: AuditRequest
    count: int  # of images
    limit: int | None = None  # of the effort, where nothing else says how many images
    scores: bool = True  # whether the model gives more than labels
    structure: str = ""  # the parts of the model that an attack can read: leaves, references or planes

    @property
    def eps(self) -> str:
        """The budget as it was written, or the default of its norm."""
        return self.asked.eps or BUDGETS[self.asked.norm][self.shape[0] == 3]

    @property
    def effort(self) -> Effort:
        """The images and queries of the chosen effort."""
        return EFFORTS[self.asked.effort]

    @property
    def budgets(self) -> list[str]:
        """The budgets of the curve, from the smallest."""
        found = [fraction(self.eps) * Fraction(share) for share in SHARES]
        return [self.eps if one == fraction(self.eps) else shortest(one) for one in found if one <= self._widest]

    @property
    def _widest(self) -> Fraction:
        return Fraction(diameter(self.asked.norm, prod(self.shape)))

    @property
    def selection(self) -> dict[str, object]:
        """The options that choose the images, and those of the run."""
        found = {name: getattr(self.asked, name) for name in (*CHOSEN, *RUNNING)}
        if self.limit:
            found["limit"] = self.limit
        if found["batch_size"] is None and prod(self.shape) <= prod(SMALL):
            found["batch_size"] = AT_A_TIME
        chosen = {name: value for name, value in found.items() if value and value != "auto"}
        return {"model": self.model, "data": self.data, **chosen}

    def steps(self, *, gradients: bool) -> list[Step]:
        """The attacks of every audit: along gradients where the model gives any, and without them."""
        queries = self.effort.queries
        found = [self._step("noise", "random noise of the same size", method="noise", restarts=10)]
        if not gradients:
            return [*found, *self.by_structure(), *self.without_gradients()]
        one_step = "fgsm" if self.asked.norm == "linf" else "fgm"
        found += [
            self._step("one-step", "one step along the gradient", method=one_step),
            self._step("autoattack", "several attacks along gradients", method="autoattack", queries=0),  # square: below, on all
            self._step("closest", "the closest image of another class", method="fab", eps=None),
            self._step("black-box", "an attacker who sees scores only", method="square", steps=queries),
            *self.by_structure(),
        ]
        if larger := self._larger():
            found.append(
                self._step(
                    "larger", "budgets so large that images must fall", method="pgd", eps=larger, limit=min(FEW, self.count)
                )
            )
        return found

    def _larger(self) -> str:
        """Budgets beyond the audited one: twice as much, and everything."""
        everything = Fraction(int(100 * self._widest), 100)  # to two digits: a root has no end
        found = [2 * fraction(self.eps), everything]
        return ",".join(dict.fromkeys(shortest(one) for one in found if fraction(self.eps) < one <= self._widest))

    def proofs(self) -> dict[str, object]:
        """The options of `evaluate` that prove what can be proved: at the audited budget, of few images at smaller ones too."""
        upto = [one for one in self.budgets if fraction(one) <= fraction(self.eps)] if self.count <= MANY else [self.eps]
        return {**self.selection, "metric": ["verified"], "norm": self.asked.norm, "eps": ",".join(upto)}

    def by_structure(self) -> list[Step]:
        """The attacks that are made for models of this kind, in whose structure they see the nearest image of another class."""
        made = [one for one in discovery.specs("attack") if self.structure and one.traits.structure == self.structure]
        budgets = {one.name: {} if one.traits.budgeted else {"eps": None} for one in made}
        return [self._step(name, READ[self.structure], method=name, **eps) for name, eps in budgets.items()]

    def without_gradients(self) -> list[Step]:
        """The attacks for a model whose gradients are not there, or not to be trusted."""
        queries = LONGER * self.effort.queries
        found = []
        if self.scores:
            question = "an attacker who sees scores only, with more queries"
            found.append(self._step("long-black-box", question, method="square", steps=queries))
        if self.asked.norm == "linf":
            found += [
                self._step("decisions", "an attacker who sees decisions only", method="rays", queries=queries, eps=None),
                self._step("substitute", "attacks on a model that was trained on this one's answers", method="substitute"),
            ]
        return found

    def _step(self, name: str, question: str, **given: object) -> Step:
        """One attack; it says the norm where the method has that option."""
        norm = {"norm": self.asked.norm} if discovery.spec("attack", str(given["method"])).option("norm") else {}
        options = {**self.selection, "eps": self.eps, "perturbations": False, "part_size": 1, **norm, **given}
        return Step(name, question, {name: value for name, value in options.items() if value is not None})


def command_line(verb: str, given: Mapping[str, object], files: tuple[str, ...] = ()) -> str:
    """The command line of a verb with these options."""
    words = ["advcli", verb, *files]
    for name, value in given.items():
        flag = flag_of(name)
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            for one in value if isinstance(value, list | tuple) else (value,):
                text = str(one)
                words += [f"{flag}={text}"] if text.startswith("-") else [flag, text]
    return " ".join(map(quoted, words))

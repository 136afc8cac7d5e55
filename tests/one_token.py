"""Changes of one token in a Python source: where they are possible, what they are, and which lines must run to see them."""

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

COMPARISONS = {
    "<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<"), ">=": (">", "<="), "==": ("!=",), "!=": ("==",),
    "is": ("is not",), "is not": ("is",), "in": ("not in",), "not in": ("in",),
}  # fmt: skip
OPERATORS = {"+": "-", "-": "+", "*": "/", "/": "*", "//": "/", "%": "//", "**": "*", "&": "|", "|": "&", "<<": ">>", ">>": "<<"}
SYMBOLS = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is", ast.IsNot: "is not",
    ast.In: "in", ast.NotIn: "not in", ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.Pow: "**", ast.BitAnd: "&", ast.BitOr: "|", ast.LShift: "<<", ast.RShift: ">>",
}  # fmt: skip
PAIRS = [("min", "max"), ("amin", "amax"), ("argmin", "argmax"), ("minimum", "maximum"), ("any", "all"), ("floor", "ceil"),
         ("sin", "cos"), ("zeros", "ones"), ("zeros_like", "ones_like"), ("startswith", "endswith")]  # fmt: skip
SWAPPED = {one: other for pair in PAIRS for one, other in (pair, pair[::-1])}
TYPES = {"int", "str", "float", "bool", "bytes", "list", "dict", "tuple", "set", "None"}
GUARDS = {"strict", "frozen", "slots", "kw_only", "repr"}  # keywords that change nothing in a program that is right


@dataclass(frozen=True)
class Change:
    """One token of a file replaced: from an offset to another, what stood there and what stands there now."""

    file: str
    line: int
    start: int
    stop: int
    old: str
    new: str
    runs: int | None  # the line of the statement inside a function that has to run, else
    names: frozenset[str] = frozenset()  # the names that are bound, or declared, by it at import

    def made(self, source: str) -> str:
        return source[: self.start] + self.new + source[self.stop :]

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.old.strip() or 'nothing'} -> {self.new.strip() or 'nothing'}"


def body_of(function: ast.FunctionDef) -> list[ast.stmt]:
    """The statements of a function that run, which its docstring does not."""
    return function.body[1:] if ast.get_docstring(function) is not None and len(function.body) > 1 else function.body


class Sites:
    """All changes of one token that a source allows, besides annotations, messages and what only guards."""

    def __init__(self, file: str, source: str) -> None:
        self.file, self.source = file, source
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.lines = source.splitlines()
        self.tokens = [
            (self.starts[one.start[0] - 1] + one.start[1], one.string)
            for one in tokenize.generate_tokens(io.StringIO(source).readline)
            if one.type in (tokenize.OP, tokenize.NAME)
        ]
        self.runs: int | None = None
        self.names: frozenset[str] = frozenset()

    def found(self) -> Iterator[Change]:
        yield from self.walk(ast.parse(self.source))

    def offset(self, line: int, column: int) -> int:
        return self.starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode())

    def span(self, node: ast.AST) -> tuple[int, int]:
        return self.offset(node.lineno, node.col_offset), self.offset(node.end_lineno, node.end_col_offset)

    def change(self, start: int, stop: int, *new: str) -> Iterator[Change]:
        line = self.source.count("\n", 0, start) + 1
        for one in new:
            yield Change(self.file, line, start, stop, self.source[start:stop], one, self.runs, self.names)

    def between(self, before: ast.AST, after: ast.AST, symbol: str, new: tuple[str, ...]) -> Iterator[Change]:
        """The operator that stands between two operands."""
        first, (start, stop) = symbol.split()[0], (self.span(before)[1], self.span(after)[0])
        place = next(place for place, string in self.tokens if start <= place < stop and string == first)
        end = place + len(first)
        if " " in symbol:
            end = next(at + len(text) for at, text in self.tokens if end <= at < stop and text == symbol.split()[1])
        yield from self.change(place, end, *new)

    def walk(self, node: ast.AST) -> Iterator[Change]:
        if isinstance(node, ast.JoinedStr | ast.Raise):
            return
        yield from self.here(node)
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield from self.definition(node)
            return
        skipped = {"annotation", "returns", "msg"}
        for name, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.keyword) and child.arg in GUARDS:
                    continue
                if isinstance(child, ast.AST) and name not in skipped:
                    yield from self.within(child)

    def within(self, child: ast.AST) -> Iterator[Change]:
        """A child, with what has to run for it."""
        kept = self.runs, self.names
        if isinstance(child, ast.stmt):
            if self.runs is not None:
                self.runs = child.lineno
            elif isinstance(child, ast.Assign | ast.AnnAssign):
                targets = child.targets if isinstance(child, ast.Assign) else [child.target]
                self.names |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
        yield from self.walk(child)
        self.runs, self.names = kept

    def definition(self, node: ast.FunctionDef | ast.ClassDef) -> Iterator[Change]:
        kept = self.runs, self.names
        if isinstance(node, ast.FunctionDef):
            self.runs, self.names = body_of(node)[0].lineno, self.names | {node.name}
            for child in [*node.decorator_list, *node.args.defaults, *(one for one in node.args.kw_defaults if one)]:
                yield from self.walk(child)
            self.names = frozenset()
            for child in body_of(node):
                yield from self.within(child)
        else:
            self.names |= {node.name}
            for child in [*node.decorator_list, *node.body]:
                yield from self.within(child)
        self.runs, self.names = kept

    def here(self, node: ast.AST) -> Iterator[Change]:
        """What can be changed in this very node."""
        if isinstance(node, ast.Compare):
            for before, op, after in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
                symbol = SYMBOLS[type(op)]
                yield from self.between(before, after, symbol, COMPARISONS[symbol])
        elif isinstance(node, ast.BoolOp):
            word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
            for before, after in zip(node.values, node.values[1:], strict=False):
                yield from self.between(before, after, word, (other,))
        elif isinstance(node, ast.BinOp) and (symbol := SYMBOLS.get(type(node.op))) in OPERATORS:
            if not (symbol == "|" and {ast.unparse(node.left), ast.unparse(node.right)} & TYPES):
                yield from self.between(node.left, node.right, symbol, (OPERATORS[symbol],))
        elif isinstance(node, ast.AugAssign) and (symbol := SYMBOLS.get(type(node.op))) in OPERATORS:
            yield from self.between(node.target, node.value, f"{symbol}=", (f"{OPERATORS[symbol]}=",))
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
            start = self.span(node)[0]
            yield from self.change(start, start + (4 if self.source.startswith("not ", start) else 1), "")
        elif isinstance(node, ast.Constant):
            yield from self.constant(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name in SWAPPED:
                stop = self.span(node.func)[1]
                yield from self.change(stop - len(name), stop, SWAPPED[name])
        elif isinstance(node, ast.Break | ast.Continue):
            yield from self.change(*self.span(node), "continue" if isinstance(node, ast.Break) else "break")

    def constant(self, node: ast.Constant) -> Iterator[Change]:
        value = node.value
        if isinstance(value, bool):
            yield from self.change(*self.span(node), str(not value))
        elif isinstance(value, int):
            yield from self.change(*self.span(node), str(value + 1), *([str(value - 1)] if value else []))
        elif isinstance(value, float):
            yield from self.change(*self.span(node), repr(value + 1), repr(value * 10))


def drawn(sources: dict[str, str], count: int, seed: int) -> list[Change]:
    """Changes at different places, drawn evenly over all of them; of several at one place, any."""
    places: dict[tuple[str, int, int], list[Change]] = {}
    for file, source in sorted(sources.items()):
        for one in Sites(file, source).found():
            if one.old.strip() != one.new.strip():
                places.setdefault((file, one.start, one.stop), []).append(one)
    draw = Random(seed)
    chosen = draw.sample(sorted(places), min(count, len(places)))
    return [draw.choice(places[place]) for place in chosen]

"""Small changes of a source file, one at a time: what a test that holds the meaning must notice.

Operators, comparisons, branches, arguments and members exchanged, a factor 0, a minus, ``~`` or ``not`` dropped, a flag
turned, a call left out, and what these methods live by: where gradients stop, and that a teacher sees the clean view.
"""

import ast
import copy
from collections.abc import Iterator

TURN = {"min": "max", "amin": "amax", "argmin": "argmax", "minimum": "maximum", "no_grad": "enable_grad"}
TURN |= {new: old for old, new in TURN.items()}
DROP = ("detach", "clean")  # the mask is seen where a teacher's view is not cleaned
EXCHANGE: dict[type, type] = {ast.Add: ast.Sub, ast.Mult: ast.Div, ast.Lt: ast.GtE, ast.Gt: ast.LtE, ast.Eq: ast.NotEq}
EXCHANGE |= {new: old for old, new in EXCHANGE.items()} | {ast.And: ast.Or, ast.Or: ast.And}
UNTOLD = ("strict", "persistent", "non_blocking", "stable", "inplace", "need_weights")  # flags that no result tells
SIGNS = {ast.USub: "minus", ast.Invert: "~", ast.Not: "not"}


def mutants(source: str) -> Iterator[tuple[str, str, ast.Module]]:
    """Every change inside the functions of a file: the function, where and what, and the whole file with it."""
    tree = ast.parse(source)
    for function, name in functions(tree):
        hints = {
            id(x)
            for n in ast.walk(function)
            for part in (getattr(n, "annotation", None), getattr(n, "returns", None))
            if part
            for x in ast.walk(part)
        }
        for parent in ast.walk(function):
            for field, value in ast.iter_fields(parent):
                for place, node in enumerate(value if isinstance(value, list) else [value]):
                    if not isinstance(node, ast.AST) or id(node) in hints or field == "decorator_list":
                        continue
                    for what, new in changes(node):
                        setattr(
                            parent, field, [*value[:place], new, *value[place + 1 :]] if type(value) is list else new
                        )
                        text = " ".join(ast.unparse(node).split())[:70].replace("`", "'")
                        yield name, f"{function.name}: {what}: {text}", ast.fix_missing_locations(copy.deepcopy(tree))
                        setattr(parent, field, value)


def functions(tree: ast.AST, inside: str = "") -> Iterator[tuple[ast.FunctionDef, str]]:
    """Functions and methods with their qualified names; what stands inside of one belongs to it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from functions(node, f"{inside}{node.name}.")
        elif isinstance(node, ast.FunctionDef) and node.name != "__init__":
            yield node, inside + node.name


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What is changed, and the node that then stands there."""

    def changed(what: str, **fields: object) -> tuple[str, ast.AST]:
        new = copy.deepcopy(node)
        for name, value in fields.items():
            setattr(new, name, value)
        return what, new

    match node:
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op) if type(op) in EXCHANGE:
            yield changed("operator exchanged", op=EXCHANGE[type(op)]())
            if isinstance(op, ast.Mult) and isinstance(node, ast.BinOp):
                yield changed("factor 0", left=ast.Constant(0))
        case ast.UnaryOp(op=op, operand=inner) if type(op) in SIGNS and not isinstance(inner, ast.Constant):
            yield f"{SIGNS[type(op)]} dropped", copy.deepcopy(inner)
        case ast.Compare(ops=[op, *more]) if type(op) in EXCHANGE:
            yield changed("comparison turned", ops=[EXCHANGE[type(op)](), *more])
        case ast.Call(func=ast.Attribute(value=inner, attr=name)):
            if name in TURN:
                yield changed("turned", func=ast.Attribute(inner, TURN[name], ast.Load()))
            if name in DROP and not node.args:
                yield f"{name} dropped", copy.deepcopy(inner)
        case ast.keyword(arg=name, value=ast.Constant(value=bool(flag))) if name not in (
            "strict",
            "persistent",
            "non_blocking",
        ):
            yield changed("flag turned", value=ast.Constant(not flag))
        case ast.Expr(value=ast.Call()):
            yield "call left out", ast.If(ast.Constant(False), [copy.deepcopy(node)], [])
        case ast.Tuple(elts=[first, second], ctx=ast.Load()) if alike(first, second):
            yield changed("members exchanged", elts=[second, first])
        case ast.IfExp() | ast.If() if not (isinstance(node, ast.If) and isinstance(node.body[0], ast.Raise)):
            yield changed("always", test=ast.Constant(True))
            yield changed("never", test=ast.Constant(False))
    if isinstance(node, ast.Call) and len(node.args) > 1 and alike(*node.args[:2]):
        yield changed("arguments exchanged", args=[node.args[1], node.args[0], *node.args[2:]])


def alike(one: ast.AST, other: ast.AST) -> bool:
    """Whether each could stand in the other's place."""
    plain = all(isinstance(node, ast.Name | ast.Attribute | ast.Subscript) for node in (one, other))
    return plain and ast.dump(one) != ast.dump(other)

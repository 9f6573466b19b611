"""The tests' side: objects of the package's process, to be used as if they were here."""

from __future__ import annotations

import builtins
import types
from collections.abc import Callable, Iterator
from typing import Any

from resources_servers.mini_swe.hidden_tests.wire import Channel, ChannelError, decode, encode

BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor", "lshift", "rshift")
UNARY = ("neg", "pos", "invert", "abs")
ORDER = ("lt", "le", "gt", "ge")


class Package:
    """The package under test, as one test sees it: requests to the process in which it runs."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._functions: list[Callable[..., Any]] = []
        self._classes: dict[tuple[str, ...], type[BaseException]] = {}

    def ask(self, operation: str, *args: Any) -> Any:
        """The result of an operation over there, or the exception that it raised."""
        self._channel.send(["do", operation, [encode(one, self._refer) for one in args]])
        while True:
            message = self._channel.receive()
            try:
                kind, *content = message
                if kind == "value":
                    return decode(content[0], self._resolve)
                if kind == "raised":
                    error = self._error(*content)
                elif kind == "callback":
                    self._call_back(*content)
                    continue
            except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError):
                raise ChannelError("the package's process sent what is no answer") from None
            raise error

    def ask_for(self, kind: type, operation: str, *args: Any) -> Any:
        """As `ask`; the result must be exactly of this type."""
        result = self.ask(operation, *args)
        if type(result) is not kind:
            raise TypeError(f"{operation}: {kind.__name__} expected")
        return result

    def import_module(self, module: types.ModuleType) -> None:
        module.__dict__["remote"] = self.ask("import", module.__name__)

    def _call_back(self, number: int, args: Any, kwargs: Any) -> None:
        function = self._functions[number]
        arguments, named = decode(args, self._resolve), decode(kwargs, self._resolve)
        try:
            result = encode(function(*arguments, **named), self._refer)
        except Exception as error:  # noqa: BLE001 - told to the package, which called the function
            self._channel.send(["raised", f"{type(error).__name__}: {error}"])
        else:
            self._channel.send(["value", result])

    def _refer(self, value: Any) -> dict[str, Any]:
        if isinstance(value, Proxy):
            return {"object": value._number}
        if isinstance(value, RemoteModule):
            return self._refer(value.__dict__["remote"])
        number = vars(value).get("_number") if isinstance(value, BaseException | type) else None
        if number is not None:
            return {"object": number}
        if not callable(value):
            raise TypeError(f"a test cannot give the package a value of type {type(value).__name__}")
        self._functions.append(value)
        return {"function": len(self._functions) - 1}

    def _resolve(self, data: dict[str, Any]) -> Any:
        if data.get("is_class"):
            return self._mirror(tuple(data["mro"]), data["object"])
        return Proxy(self, data["object"])

    def _error(self, reference: dict[str, Any], args: Any, text: str) -> BaseException:
        """What the package raised, as an exception of a class that stands for the package's."""
        kind = self._mirror(tuple(reference["mro"]))
        error = kind(*decode(args, self._resolve))
        if vars(kind).get("mirrors") is not None:
            error.__dict__.update(_package=self, _number=reference["object"], _text=text)
        return error

    def _mirror(self, mro: tuple[str, ...], number: int | None = None) -> type[BaseException]:
        """A class with the name and the parents of an exception class over there; an ordinary one of Python itself.

        Those that would stop the tests rather than fail them (`SystemExit`, `SkipTest`) get a class of no such meaning.
        """
        builtin = _ordinary_exception(mro[0])
        if builtin is not None:
            return builtin
        if mro not in self._classes:
            own = next((place for place in range(1, len(mro)) if not mro[place].startswith("builtins.")), None)
            bases = [self._mirror(mro[own:])] if own is not None else []
            above = next((found for name in mro[1:] if (found := _ordinary_exception(name)) is not None), Exception)
            if not any(issubclass(base, above) for base in bases):
                bases.append(above)
            name = mro[0].rpartition(".")[2]
            self._classes[mro] = type(name, tuple(bases), {"mirrors": mro, **_MIRRORED})
        if number is not None:
            type.__setattr__(self._classes[mro], "_number", number)
        return self._classes[mro]


def _ordinary_exception(name: str) -> type[BaseException] | None:
    found = vars(builtins).get(name.removeprefix("builtins.")) if name.startswith("builtins.") else None
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def _mirrored_attribute(error: Any, name: str) -> Any:
    if name.startswith("__") or "_package" not in error.__dict__:
        raise AttributeError(name)
    return error.__dict__["_package"].ask("get", error, name)


_MIRRORED = {
    "__getattr__": _mirrored_attribute,
    "__str__": lambda error: error.__dict__.get("_text", ""),
}


class RemoteModule(types.ModuleType):
    """A module of the package."""

    def __init__(self, name: str, package: Package) -> None:
        super().__init__(name)
        self.__dict__["package"] = package
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "remote" not in self.__dict__:
            raise AttributeError(name)
        return self.__dict__["package"].ask("get", self.__dict__["remote"], name)


class Proxy:
    """An object of the package's process. A value of the test is never equal to it: `==` of two such objects is asked
    over there, so that an object which equals everything gains nothing.
    """

    __slots__ = ("_number", "_package")

    def __init__(self, package: Package, number: int) -> None:
        object.__setattr__(self, "_package", package)
        object.__setattr__(self, "_number", number)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__name__", "__doc__"):
            raise AttributeError(name)
        return self._package.ask("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._package.ask("set", self, name, value)

    def __delattr__(self, name: str) -> None:
        self._package.ask("del", self, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._package.ask("call", self, args, kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and self._package.ask("eq", self, other) is True

    def __ne__(self, other: object) -> bool:
        return not isinstance(other, Proxy) or self._package.ask("ne", self, other) is True

    def __hash__(self) -> int:
        return int(self._package.ask_for(int, "hash", self))

    def __bool__(self) -> bool:
        return bool(self._package.ask_for(bool, "bool", self))

    def __len__(self) -> int:
        return int(self._package.ask_for(int, "len", self))

    def __str__(self) -> str:
        return str(self._package.ask_for(str, "str", self))

    def __repr__(self) -> str:
        return str(self._package.ask_for(str, "repr", self))

    def __format__(self, spec: str) -> str:
        return str(self._package.ask_for(str, "format", self, spec))

    def __int__(self) -> int:
        return int(self._package.ask_for(int, "int", self))

    def __float__(self) -> float:
        return float(self._package.ask_for(float, "float", self))

    def __round__(self, digits: int | None = None) -> Any:
        return self._package.ask("round", self, digits)

    def __dir__(self) -> list[str]:
        return list(self._package.ask_for(list, "dir", self))

    def __iter__(self) -> Iterator[Any]:
        iterator = self._package.ask("iter", self)
        while True:
            try:
                item = self._package.ask("next", iterator)
            except StopIteration:
                return
            yield item

    def __next__(self) -> Any:
        return self._package.ask("next", self)

    def __reversed__(self) -> Any:
        return self._package.ask("reversed", self)

    def __contains__(self, item: Any) -> bool:
        return bool(self._package.ask_for(bool, "contains", self, item))

    def __getitem__(self, key: Any) -> Any:
        return self._package.ask("getitem", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._package.ask("setitem", self, key, value)

    def __delitem__(self, key: Any) -> None:
        self._package.ask("delitem", self, key)

    def __enter__(self) -> Any:
        return self._package.ask("enter", self)

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> Any:
        over_there = error if error is None or "_number" in vars(error) else RuntimeError
        return self._package.ask("exit", self, over_there)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, Proxy) and self._package.ask("isinstance", instance, self) is True


def _binary(operation: str) -> Callable[[Proxy, Any], Any]:
    return lambda left, right: left._package.ask(operation, left, right)


def _reflected(operation: str) -> Callable[[Proxy, Any], Any]:
    return lambda right, left: right._package.ask(operation, left, right)


for _name in (*BINARY, *ORDER):
    setattr(Proxy, f"__{_name.strip('_')}__", _binary(_name))
for _name in BINARY:
    setattr(Proxy, f"__r{_name.strip('_')}__", _reflected(_name))
for _name in UNARY:
    setattr(Proxy, f"__{_name}__", lambda value, _name=_name: value._package.ask(_name, value))

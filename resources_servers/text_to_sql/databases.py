"""Databases made from a seed: four small worlds with their tables and rows."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    name: str
    columns: tuple[str, ...]
    """`name TYPE constraints`, as in CREATE TABLE."""
    rows: tuple[Row, ...]

    @property
    def create(self) -> str:
        return f"CREATE TABLE {self.name} ({', '.join(self.columns)})"


FIRST = (
    "Ada", "Boris", "Chen", "Dalia", "Emeka", "Freya", "Goran", "Hana", "Ines", "Jonas", "Kofi", "Lena", "Mira", "Noor",
)  # fmt: skip
LAST = (
    "Adler", "Brandt", "Castro", "Dubois", "Eriksen", "Fontana", "Gupta", "Haddad", "Ivanov", "Jansen", "Kimura",
)  # fmt: skip
CITIES = ("Bergen", "Cadiz", "Dakar", "Graz", "Izmir", "Lyon", "Osaka", "Porto", "Quito", "Turin")


def tables(name: str, seed: int) -> tuple[Table, ...]:
    """The tables of a database. `name` is one of `DATABASES`."""
    return DATABASES[name](random.Random(f"{name}/{seed}"))


def schema_text(name: str, seed: int) -> str:
    """What the policy is told of a database: its CREATE TABLE statements."""
    return "\n".join(f"{table.create};" for table in tables(name, seed))


def _person(rng: random.Random) -> str:
    return f"{rng.choice(FIRST)} {rng.choice(LAST)}"


def _date(rng: random.Random) -> str:
    return f"{rng.randint(2021, 2024)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def _price(rng: random.Random, low: int, high: int) -> float:
    return rng.randint(low * 4, high * 4) / 4


def _shop(rng: random.Random) -> tuple[Table, ...]:
    goods = ("lamp", "chair", "kettle", "rug", "clock", "shelf", "mug", "vase", "desk", "fan", "stool", "mirror")
    kinds = ("kitchen", "office", "living")
    customers = tuple((n, _person(rng), rng.choice(CITIES)) for n in range(1, rng.randint(18, 30)))
    products = tuple((n, good, rng.choice(kinds), _price(rng, 5, 200)) for n, good in enumerate(goods, 1))
    orders = tuple((n, rng.choice(customers)[0], _date(rng)) for n in range(1, rng.randint(50, 80)))
    items = [(order[0], product[0]) for order in orders for product in rng.sample(products, rng.randint(1, 4))]
    return (
        Table("customers", ("id INTEGER PRIMARY KEY", "name TEXT", "city TEXT"), customers),
        Table("products", ("id INTEGER PRIMARY KEY", "name TEXT", "kind TEXT", "price REAL"), products),
        Table("orders", ("id INTEGER PRIMARY KEY", "customer_id INTEGER", "ordered_on TEXT"), orders),
        Table(
            "order_items",
            ("order_id INTEGER", "product_id INTEGER", "quantity INTEGER"),
            tuple((order, product, rng.randint(1, 5)) for order, product in items),
        ),
    )


def _library(rng: random.Random) -> tuple[Table, ...]:
    words = ("River", "Winter", "Garden", "Silence", "Harbour", "Stone", "Letter", "Shadow", "Orchard", "Bridge")
    authors = tuple((n, _person(rng), rng.randint(1930, 1995)) for n in range(1, rng.randint(10, 16)))
    titles = rng.sample([f"{one} and {other}" for one in words for other in words if one != other], 30)
    genres = ("novel", "poetry", "history", "travel")
    books = tuple(
        (n, title, rng.choice(authors)[0], rng.choice(genres), rng.randint(90, 700))
        for n, title in enumerate(titles, 1)
    )
    members = tuple((n, _person(rng), rng.choice(CITIES)) for n in range(1, rng.randint(16, 24)))
    loans = tuple(
        (n, rng.choice(books)[0], rng.choice(members)[0], _date(rng), rng.choice((None, rng.randint(1, 60))))
        for n in range(1, rng.randint(60, 90))
    )
    return (
        Table("authors", ("id INTEGER PRIMARY KEY", "name TEXT", "born INTEGER"), authors),
        Table(
            "books", ("id INTEGER PRIMARY KEY", "title TEXT", "author_id INTEGER", "genre TEXT", "pages INTEGER"), books
        ),
        Table("members", ("id INTEGER PRIMARY KEY", "name TEXT", "city TEXT"), members),
        Table(
            "loans",
            ("id INTEGER PRIMARY KEY", "book_id INTEGER", "member_id INTEGER", "lent_on TEXT", "days_kept INTEGER"),
            loans,
        ),
    )


def _flights(rng: random.Random) -> tuple[Table, ...]:
    airports = tuple((city[:3].upper(), city, rng.randint(1, 6)) for city in CITIES)
    airlines = tuple(
        (n, f"{word} Air", rng.choice(CITIES)) for n, word in enumerate(("Nordic", "Sol", "Blue", "Atlas"), 1)
    )
    flights = []
    for n in range(1, rng.randint(60, 90)):
        start, end = rng.sample(airports, 2)
        flights.append((n, rng.choice(airlines)[0], start[0], end[0], rng.randint(40, 700), _price(rng, 30, 900)))
    bookings = tuple(
        (n, rng.choice(flights)[0], _person(rng), rng.randint(1, 4)) for n in range(1, rng.randint(70, 110))
    )
    return (
        Table("airports", ("code TEXT PRIMARY KEY", "city TEXT", "runways INTEGER"), airports),
        Table("airlines", ("id INTEGER PRIMARY KEY", "name TEXT", "home_city TEXT"), airlines),
        Table(
            "flights",
            (
                "id INTEGER PRIMARY KEY",
                "airline_id INTEGER",
                "origin TEXT",
                "destination TEXT",
                "minutes INTEGER",
                "price REAL",
            ),
            tuple(flights),
        ),
        Table("bookings", ("id INTEGER PRIMARY KEY", "flight_id INTEGER", "passenger TEXT", "seats INTEGER"), bookings),
    )


def _clinic(rng: random.Random) -> tuple[Table, ...]:
    fields = ("cardiology", "dermatology", "neurology", "paediatrics")
    reasons = ("check-up", "fever", "headache", "rash", "follow-up")
    doctors = tuple((n, _person(rng), rng.choice(fields), rng.randint(1, 35)) for n in range(1, rng.randint(8, 13)))
    patients = tuple(
        (n, _person(rng), rng.randint(1940, 2020), rng.choice(CITIES)) for n in range(1, rng.randint(25, 40))
    )
    visits = tuple(
        (n, rng.choice(patients)[0], rng.choice(doctors)[0], _date(rng), rng.choice(reasons), _price(rng, 20, 400))
        for n in range(1, rng.randint(80, 120))
    )
    return (
        Table("doctors", ("id INTEGER PRIMARY KEY", "name TEXT", "field TEXT", "years INTEGER"), doctors),
        Table("patients", ("id INTEGER PRIMARY KEY", "name TEXT", "born INTEGER", "city TEXT"), patients),
        Table(
            "visits",
            (
                "id INTEGER PRIMARY KEY",
                "patient_id INTEGER",
                "doctor_id INTEGER",
                "seen_on TEXT",
                "reason TEXT",
                "cost REAL",
            ),
            visits,
        ),
    )


DATABASES: dict[str, Callable[[random.Random], tuple[Table, ...]]] = {
    "shop": _shop,
    "library": _library,
    "flights": _flights,
    "clinic": _clinic,
}

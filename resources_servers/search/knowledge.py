"""A made-up land, from a seed: people, towns, companies and rivers, a passage about each, and questions about them.

Nothing in it exists, so that no answer is known without looking it up.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

FIRST_NAMES = (
    *("Adira", "Belo", "Cassim", "Dorrit", "Elva", "Fenno", "Gisla", "Hadrik", "Ismene", "Jorun", "Kaveh", "Lisbet"),
    *("Marek", "Nadiya", "Orla", "Pell", "Quirin", "Runa", "Sorley", "Tamsin", "Ulric", "Vesna", "Wilmot", "Yael"),
)
BEGINNINGS = (
    *("Bar", "Cal", "Dor", "Fen", "Gal", "Har", "Kel", "Lor", "Mar", "Nor", "Or", "Pel", "Quin", "Ros", "Sal", "Tar"),
    *("Ul", "Ver", "Wes", "Yar", "Zan", "Bri", "Cro", "Dra", "Gri", "Sko", "Stre", "Tri", "Vla", "Ash"),
)
MIDDLES = ("a", "e", "i", "o", "u", "an", "en", "in", "or", "ul", "ava", "eri", "imo", "ola", "uri", "eth")
TOWN_ENDS = ("mouth", "stead", "wick", "holm", "bury", "dale", "gate", "haven", "field", "minster")
RIVER_ENDS = ("ne", "dra", "ss", "th", "va", "mer", "lle", "sk")
FAMILY_ENDS = ("son", "ski", "well", "dotter", "man", "ez", "ford", "quist", "ar", "ett")
COMPANY_ENDS = ("Works", "Brothers", "Foundry", "Mills", "Trading", "Instruments")
PROFESSIONS = (
    *("botanist", "clockmaker", "cartographer", "surgeon", "violinist", "architect", "beekeeper", "glassblower"),
    *("judge", "locksmith", "navigator", "painter", "printer", "sculptor", "translator", "astronomer"),
)
PRODUCTS = (
    *("ceramic stoves", "pocket watches", "fishing nets", "church bells", "paper lanterns", "steel springs"),
    *("marine engines", "chess sets", "wool carpets", "telescopes", "bicycle chains", "tin soldiers"),
    *("accordions", "umbrellas"),
)
SPECIALITIES = (
    *("smoked trout", "cherry wine", "blue porcelain", "sheep's cheese", "amber jewellery", "walnut bread", "linen"),
    *("silver bells", "ginger beer", "wooden clogs", "rock salt", "saffron", "candied plums", "kites"),
)
SEAS = ("Amber Sea", "Gulf of Orm", "Grey Sea", "Sea of Lanterns", "Bay of Herons")


@dataclass(frozen=True)
class River:
    name: str
    length_km: int
    sea: str
    mountain: str

    def passage(self) -> str:
        return (
            f"The {self.name} is a river {self.length_km} kilometers long. It rises on {self.mountain} and flows into "
            f"the {self.sea}. Salmon come up the {self.name} in autumn."
        )


@dataclass(frozen=True)
class Town:
    name: str
    founded: int
    population: int
    speciality: str
    river: River

    def passage(self) -> str:
        return (
            f"{self.name} is a town on the river {self.river.name} with {self.population:,} inhabitants. It was "
            f"founded in {self.founded} and is known for its {self.speciality}. Market day in {self.name} is Thursday."
        )


@dataclass(frozen=True)
class Person:
    name: str
    born: int
    birthplace: Town
    profession: str

    def passage(self) -> str:
        return (
            f"{self.name} was {_article(self.profession)} {self.profession}, born in {self.born} in "
            f"{self.birthplace.name}. The memoirs of {self.name} fill three volumes."
        )


@dataclass(frozen=True)
class Company:
    name: str
    founder: Person
    seat: Town
    product: str
    employees: int

    def passage(self) -> str:
        return (
            f"{self.name} is a company that makes {self.product}. It was founded by {self.founder.name}, has its seat "
            f"in {self.seat.name} and employs {self.employees} people."
        )


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


Entity = River | Town | Person | Company


@dataclass(frozen=True)
class Question:
    """One question, what is accepted as its answer, and a way to it."""

    text: str
    answers: list[str]
    path: list[Entity]
    """Whose passages one must read, in order."""
    queries: list[str]
    """A good search for each of them."""


@dataclass(frozen=True)
class World:
    rivers: list[River]
    towns: list[Town]
    people: list[Person]
    companies: list[Company]

    def entities(self) -> list[Entity]:
        """Each has one passage."""
        return [*self.rivers, *self.towns, *self.people, *self.companies]

    def question(self, rng: random.Random) -> Question:
        """One of the kinds below, as likely with one passage to be read as with two."""
        kinds = rng.choice((ONE_HOP, TWO_HOPS))
        return rng.choice(kinds)(rng, self)


def make_world(num_passages: int, seed: int) -> World:
    """`num_passages` entities, 20 or more, each with a name of its own."""
    rng = random.Random(f"world/{seed}")
    taken: set[str] = set()
    num_rivers, num_towns, num_companies = num_passages // 10, num_passages // 4, num_passages // 5
    rivers = [
        River(
            _name(rng, RIVER_ENDS, taken), rng.randint(31, 980), rng.choice(SEAS), f"Mount {_name(rng, ('',), taken)}"
        )
        for _ in range(num_rivers)
    ]
    towns = [
        Town(
            _name(rng, TOWN_ENDS, taken),
            rng.randint(1050, 1890),
            rng.randint(1_100, 96_000),
            rng.choice(SPECIALITIES),
            rng.choice(rivers),
        )
        for _ in range(num_towns)
    ]
    people = [
        Person(_full_name(rng, taken), rng.randint(1801, 1985), rng.choice(towns), rng.choice(PROFESSIONS))
        for _ in range(num_passages - num_rivers - num_towns - num_companies)
    ]
    companies = [
        Company(
            f"{_name(rng, ('',), taken)} {rng.choice(COMPANY_ENDS)}",
            rng.choice(people),
            rng.choice(towns),
            rng.choice(PRODUCTS),
            rng.randint(12, 990),
        )
        for _ in range(num_companies)
    ]
    return World(rivers, towns, people, companies)


def _name(rng: random.Random, ends: tuple[str, ...], taken: set[str]) -> str:
    """A new name; longer ones where the short ones are used up."""
    middles = 1
    while True:
        name = rng.choice(BEGINNINGS) + "".join(rng.choice(MIDDLES) for _ in range(middles)) + rng.choice(ends)
        if name not in taken:
            taken.add(name)
            return name
        middles += 1


def _full_name(rng: random.Random, taken: set[str]) -> str:
    while True:
        middles = "".join(rng.choice(MIDDLES) for _ in range(rng.randint(1, 2)))
        name = f"{rng.choice(FIRST_NAMES)} {rng.choice(BEGINNINGS)}{middles}{rng.choice(FAMILY_ENDS)}"
        if name not in taken:
            taken.add(name)
            return name


Kind = Callable[[random.Random, World], Question]


def _number(number: int) -> list[str]:
    return [str(number)]


def _of_sea(sea: str) -> list[str]:
    return [sea, sea.removesuffix(" Sea")] if sea.endswith(" Sea") else [sea]


def _of_river(river: River) -> list[str]:
    return [river.name, f"the {river.name} river", f"river {river.name}"]


def _birthplace(rng: random.Random, world: World) -> Question:
    who = rng.choice(world.people)
    return Question(f"In which town was {who.name} born?", [who.birthplace.name], [who], [f"{who.name} born in"])


def _profession(rng: random.Random, world: World) -> Question:
    who = rng.choice(world.people)
    return Question(f"What was the profession of {who.name}?", [who.profession], [who], [f"{who.name} profession"])


def _founded(rng: random.Random, world: World) -> Question:
    town = rng.choice(world.towns)
    return Question(f"In which year was {town.name} founded?", _number(town.founded), [town], [f"{town.name} founded"])


def _length(rng: random.Random, world: World) -> Question:
    river = rng.choice(world.rivers)
    text = f"How many kilometers long is the river {river.name}?"
    answers = [str(river.length_km), f"{river.length_km} km", f"{river.length_km} kilometers"]
    return Question(text, answers, [river], [f"{river.name} river length kilometers rises"])


def _product(rng: random.Random, world: World) -> Question:
    company = rng.choice(world.companies)
    return Question(f"What does {company.name} make?", [company.product], [company], [f"{company.name} company makes"])


def _founder(rng: random.Random, world: World) -> Question:
    company = rng.choice(world.companies)
    name = company.founder.name
    return Question(f"Who founded {company.name}?", [name], [company], [f"{company.name} company founded by"])


def _river_of_birthplace(rng: random.Random, world: World) -> Question:
    who = rng.choice(world.people)
    town = who.birthplace
    text = f"On which river lies the town in which {who.name} was born?"
    return Question(text, _of_river(town.river), [who, town], [f"{who.name} born in", f"{town.name} town on the river"])


def _speciality_of_seat(rng: random.Random, world: World) -> Question:
    company = rng.choice(world.companies)
    town = company.seat
    text = f"What is the town known for in which {company.name} has its seat?"
    queries = [f"{company.name} company seat", f"{town.name} town known for"]
    return Question(text, [town.speciality], [company, town], queries)


def _profession_of_founder(rng: random.Random, world: World) -> Question:
    company = rng.choice(world.companies)
    who = company.founder
    text = f"What was the profession of the founder of {company.name}?"
    queries = [f"{company.name} company founded by", f"{who.name} profession"]
    return Question(text, [who.profession], [company, who], queries)


def _birth_of_founder(rng: random.Random, world: World) -> Question:
    company = rng.choice(world.companies)
    who = company.founder
    text = f"In which year was the founder of {company.name} born?"
    return Question(
        text, _number(who.born), [company, who], [f"{company.name} company founded by", f"{who.name} born in"]
    )


def _sea_of_town(rng: random.Random, world: World) -> Question:
    town = rng.choice(world.towns)
    river = town.river
    text = f"Into which sea or bay flows the river on which {town.name} lies?"
    queries = [f"{town.name} town on the river", f"{river.name} river rises flows into"]
    return Question(text, _of_sea(river.sea), [town, river], queries)


def _founding_of_birthplace(rng: random.Random, world: World) -> Question:
    who = rng.choice(world.people)
    town = who.birthplace
    text = f"In which year was the town founded in which {who.name} was born?"
    return Question(
        text, _number(town.founded), [who, town], [f"{who.name} born in", f"{town.name} town inhabitants founded"]
    )


ONE_HOP: tuple[Kind, ...] = (_birthplace, _profession, _founded, _length, _product, _founder)
TWO_HOPS: tuple[Kind, ...] = (
    *(_river_of_birthplace, _speciality_of_seat, _profession_of_founder),
    *(_birth_of_founder, _sea_of_town, _founding_of_birthplace),
)

"""Seeded math word problems with a worked solution that ends in `#### n`; sixteen kinds, any number of each."""

from __future__ import annotations

import random
from collections.abc import Callable

from nemo_gym.datasets.math_problems import MARK, MathProblem

NAMES = (
    *("Abena", "Aiko", "Alma", "Amir", "Anouk", "Bruno", "Chidi", "Clara", "Dalia", "Edwin", "Elif", "Farid", "Greta"),
    *("Hana", "Hugo", "Ines", "Ivan", "Jamal", "Jun", "Kofi", "Lena", "Luca", "Maya", "Mika", "Nadia", "Nils", "Olga"),
    *("Omar", "Paula", "Priya", "Quinn", "Rafa", "Rosa", "Sami", "Sven", "Talia", "Tomas", "Uma", "Vera", "Wanda"),
    *("Yara", "Yusuf", "Zoe", "Zubin"),
)
GOODS = ("candles", "notebooks", "jars of honey", "tomato plants", "kites", "mugs", "puzzles", "lanterns", "scarves")
SHOPS = ("at the market", "in a small shop", "at the school fair", "from a stall by the road", "online")

Told = tuple[str, list[str], int]
"""Question, steps of the solution, answer."""


def make_problem(rng: random.Random) -> MathProblem:
    """One problem whose answer is a whole number above 0. It depends on the generator's state alone."""
    question, steps, answer = rng.choice(KINDS)(rng)
    solution = "\n".join([*steps, f"{MARK} {answer}"])
    return MathProblem(question, str(answer), solution)


def _shopping(rng: random.Random) -> Told:
    name, (first, second) = rng.choice(NAMES), rng.sample(GOODS, 2)
    n, m, p, q = rng.randint(2, 30), rng.randint(2, 30), rng.randint(2, 40), rng.randint(2, 40)
    question = (
        f"{name} buys {n} {first} for ${p} each and {m} {second} for ${q} each {rng.choice(SHOPS)}. "
        f"How many dollars does {name} pay in all?"
    )
    steps = [
        f"The {first} cost {n} * {p} = {n * p} dollars.",
        f"The {second} cost {m} * {q} = {m * q} dollars.",
        f"Together that is {n * p} + {m * q} = {n * p + m * q} dollars.",
    ]
    return question, steps, n * p + m * q


def _change(rng: random.Random) -> Told:
    name, goods = rng.choice(NAMES), rng.choice(GOODS)
    n, p, over = rng.randint(3, 25), rng.randint(3, 30), rng.randint(1, 60)
    paid = n * p + over
    question = (
        f"{name} has saved ${paid:,} and spends part of it on {n} {goods} {rng.choice(SHOPS)}. One of them costs ${p}. "
        f"How many dollars are left?"
    )
    steps = [f"{n} {goods} cost {n} * {p} = {n * p} dollars.", f"{paid} - {n * p} = {over} dollars are left."]
    return question, steps, over


def _travel(rng: random.Random) -> Told:
    name, vehicle = rng.choice(NAMES), rng.choice(("van", "bus", "train", "motorbike", "ferry"))
    v, w, h, k = rng.randint(20, 90), rng.randint(20, 90), rng.randint(2, 9), rng.randint(2, 9)
    question = (
        f"{name}'s {vehicle} goes {v} kilometers an hour for {h} hours, then {w} kilometers an hour for {k} hours. "
        "How many kilometers is that altogether?"
    )
    steps = [
        f"The first part is {v} * {h} = {v * h} kilometers.",
        f"The second part is {w} * {k} = {w * k} kilometers.",
        f"Altogether {v * h} + {w * k} = {v * h + w * k} kilometers.",
    ]
    return question, steps, v * h + w * k


def _ages(rng: random.Random) -> Told:
    older, younger = rng.sample(NAMES, 2)
    age, times, years = rng.randint(4, 19), rng.randint(2, 4), rng.randint(2, 25)
    answer = age * times + age + 2 * years
    question = (
        f"{older} is {times} times as old as {younger}, who is {age}. "
        f"How old will the two be together in {years} years, their ages added up?"
    )
    steps = [
        f"{older} is {times} * {age} = {times * age} years old.",
        f"Today their ages add up to {times * age} + {age} = {times * age + age}.",
        f"Each grows {years} years older, so {times * age + age} + 2 * {years} = {answer}.",
    ]
    return question, steps, answer


def _discount(rng: random.Random) -> Told:
    name, percent = rng.choice(NAMES), rng.choice((5, 10, 15, 20, 25, 30, 40, 60, 75))
    price, n = 20 * rng.randint(2, 60), rng.randint(2, 12)
    thing = rng.choice(("bicycle", "desk", "heater", "loom", "radio", "telescope", "tent"))
    off = price * percent // 100
    answer = n * (price - off)
    question = (
        f"A {thing} costs ${price:,}. This week there is {percent}% off, and {name} orders {n} of them for a club. "
        "How many dollars does the order cost?"
    )
    steps = [
        f"{percent}% of {price} is {price} * {percent} / 100 = {off} dollars.",
        f"One {thing} then costs {price} - {off} = {price - off} dollars.",
        f"{n} cost {n} * {price - off} = {answer} dollars.",
    ]
    return question, steps, answer


def _packing(rng: random.Random) -> Told:
    name, goods, size = rng.choice(NAMES), rng.choice(GOODS), rng.randint(4, 24)
    full, rest, given = rng.randint(5, 60), 0, rng.randint(2, 30)
    rest = rng.randint(1, size - 1)
    made = size * full + rest + given
    question = (
        f"{name} makes {made:,} {goods} and gives {given} of them away. The others are packed into boxes of {size}. "
        "How many boxes are needed, if the last one may be partly empty?"
    )
    steps = [
        f"{made} - {given} = {made - given} {goods} are packed.",
        f"{made - given} / {size} is {full} with {rest} left over.",
        f"The rest needs a box too, so {full} + 1 = {full + 1} boxes.",
    ]
    return question, steps, full + 1


def _wages(rng: random.Random) -> Told:
    name, job = rng.choice(NAMES), rng.choice(("baker", "gardener", "guide", "lifeguard", "plumber", "tutor", "weaver"))
    hourly, hours, extra, bonus = rng.randint(11, 48), rng.randint(10, 40), rng.randint(1, 12), rng.randint(2, 15)
    over = hourly + bonus
    answer = hourly * hours + over * extra
    question = (
        f"As a {job}, {name} earns ${hourly} an hour, and ${bonus} more for each hour of overtime. "
        f"What does a week with {hours} ordinary hours and {extra} hours of overtime bring, in dollars?"
    )
    steps = [
        f"The ordinary hours bring {hourly} * {hours} = {hourly * hours} dollars.",
        f"An hour of overtime brings {hourly} + {bonus} = {over} dollars, in all {over} * {extra} = {over * extra}.",
        f"Together {hourly * hours} + {over * extra} = {answer} dollars.",
    ]
    return question, steps, answer


def _savings(rng: random.Random) -> Told:
    name, weekly, have = rng.choice(NAMES), rng.randint(3, 60), rng.randint(5, 300)
    weeks = rng.randint(3, 50)
    price = have + weekly * weeks
    thing = rng.choice(("a violin", "a canoe", "a sewing machine", "a drum kit", "a camera"))
    question = (
        f"{name} wants to buy {thing} for ${price:,}, has ${have} already and saves ${weekly} a week. "
        "After how many weeks is it enough?"
    )
    steps = [
        f"{price} - {have} = {price - have} dollars are missing.",
        f"That takes {price - have} / {weekly} = {weeks} weeks.",
    ]
    return question, steps, weeks


def _recipe(rng: random.Random) -> Told:
    name, dish = rng.choice(NAMES), rng.choice(("soup", "porridge", "curry", "lemonade", "pancake batter", "stew"))
    base, times, per = rng.randint(2, 9), rng.randint(2, 12), rng.randint(15, 240)
    people = base * times
    question = (
        f"{name}'s recipe of {dish} for {base} people takes {per} grams of its main ingredient. "
        f"How many grams does {name} need for {people} people?"
    )
    steps = [
        f"{people} people are {people} / {base} = {times} times as many.",
        f"So {times} * {per} = {times * per} grams.",
    ]
    return question, steps, times * per


def _shares(rng: random.Random) -> Told:
    (name, other), goods = rng.sample(NAMES, 2), rng.choice(GOODS)
    friends, each, kept = rng.randint(2, 14), rng.randint(3, 40), rng.randint(1, 30)
    total = friends * each + kept
    question = (
        f"{name} and {other} collect {total:,} {goods}. They keep {kept} and share the others equally "
        f"among {friends} friends. How many does each friend get?"
    )
    steps = [f"{total} - {kept} = {total - kept} are shared.", f"Each gets {total - kept} / {friends} = {each}."]
    return question, steps, each


def _garden(rng: random.Random) -> Told:
    name, length, width = rng.choice(NAMES), rng.randint(6, 60), rng.randint(4, 50)
    price = rng.randint(2, 25)
    around = 2 * (length + width)
    question = (
        f"{name} fences a garden that is {length} meters long and {width} meters wide, on all four sides. "
        f"A meter of fence costs ${price}. How many dollars does the fence cost?"
    )
    steps = [
        f"Around the garden it is 2 * ({length} + {width}) = {around} meters.",
        f"The fence costs {around} * {price} = {around * price} dollars.",
    ]
    return question, steps, around * price


def _reading(rng: random.Random) -> Told:
    name, a, b = rng.choice(NAMES), rng.randint(8, 60), rng.randint(8, 60)
    days, weekend, left = rng.randint(3, 15), rng.randint(2, 8), rng.randint(5, 90)
    pages = a * days + b * weekend + left
    question = (
        f"A book has {pages:,} pages. {name} reads {a} pages on each of {days} working days and {b} pages on each of "
        f"{weekend} days off. How many pages are left to read?"
    )
    steps = [
        f"On working days it is {a} * {days} = {a * days} pages, on days off {b} * {weekend} = {b * weekend}.",
        f"{pages} - {a * days} - {b * weekend} = {left} pages are left.",
    ]
    return question, steps, left


def _fraction(rng: random.Random) -> Told:
    name, other = rng.sample(NAMES, 2)
    part, whole = rng.choice(((1, 2), (1, 3), (2, 3), (1, 4), (3, 4), (2, 5), (3, 5), (5, 6), (3, 8)))
    unit, sold = rng.randint(6, 90), rng.randint(1, 5)
    total, taken = unit * whole, unit * part
    goods = rng.choice(GOODS)
    answer = total - taken + sold * 10
    question = (
        f"{name} has {total} {goods} and sells {part}/{whole} of them. Then {other} brings {sold * 10} more. "
        f"How many {goods} does {name} have now?"
    )
    steps = [
        f"{name} sells {total} * {part} / {whole} = {taken}, which leaves {total} - {taken} = {total - taken}.",
        f"With those that {other} brings it is {total - taken} + {sold * 10} = {answer}.",
    ]
    return question, steps, answer


def _seats(rng: random.Random) -> Told:
    name, rows, seats = rng.choice(NAMES), rng.randint(8, 40), rng.randint(10, 45)
    price, free = rng.randint(4, 30), rng.randint(5, 70)
    answer = (rows * seats - free) * price
    question = (
        f"{name}'s theater has {rows} rows of {seats} seats. Tonight all but {free} are sold at ${price} each. "
        "How many dollars do the tickets bring?"
    )
    steps = [
        f"There are {rows} * {seats} = {rows * seats} seats; {rows * seats} - {free} = {rows * seats - free} are sold.",
        f"They bring {rows * seats - free} * {price} = {answer} dollars.",
    ]
    return question, steps, answer


def _average(rng: random.Random) -> Told:
    name, scores = rng.choice(NAMES), [rng.randint(40, 95) for _ in range(rng.randint(2, 4))]
    answer = rng.randint(41, 99)
    count = len(scores) + 1
    scores.append(answer)
    total = sum(scores)
    scores[-1] += (count - total % count) % count  # the average is to be a whole number
    answer, total = scores[-1], sum(scores)
    known = scores[:-1]
    listed = ", ".join(map(str, known[:-1])) + f" and {known[-1]}"
    question = (
        f"{name} has {listed} points in {len(known)} games. "
        f"How many points must the next game bring for an average of {total // count}?"
    )
    steps = [
        f"An average of {total // count} over {count} games is {total // count} * {count} = {total} points.",
        f"So far it is {' + '.join(map(str, known))} = {sum(known)} points.",
        f"The next game must bring {total} - {sum(known)} = {answer} points.",
    ]
    return question, steps, answer


def _tank(rng: random.Random) -> Told:
    name, inflow = rng.choice(NAMES), rng.randint(9, 60)
    outflow, minutes, start = rng.randint(1, inflow - 2), rng.randint(5, 45), rng.randint(10, 400)
    gain = inflow - outflow
    answer = start + gain * minutes
    question = (
        f"A tank on {name}'s farm holds {start} liters. {inflow} liters a minute run in and {outflow} liters "
        f"a minute run out. How many liters does it hold after {minutes} minutes?"
    )
    steps = [
        f"Each minute it gains {inflow} - {outflow} = {gain} liters.",
        f"In {minutes} minutes that is {gain} * {minutes} = {gain * minutes} liters.",
        f"Then it holds {start} + {gain * minutes} = {answer} liters.",
    ]
    return question, steps, answer


KINDS: tuple[Callable[[random.Random], Told], ...] = (
    *(_shopping, _change, _travel, _ages, _discount, _packing, _wages, _savings),
    *(_recipe, _shares, _garden, _reading, _fraction, _seats, _average, _tank),
)

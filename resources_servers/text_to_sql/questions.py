"""Questions to the made databases, each with a query that answers it: look-ups, joins, groups, nested queries."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from resources_servers.text_to_sql.databases import CITIES


@dataclass(frozen=True)
class Question:
    text: str
    sql: str
    level: str
    """`easy` (one table), `medium` (joins or groups), `hard` (nested)."""


Template = Callable[[random.Random], Question]


def make_question(name: str, rng: random.Random) -> Question:
    """One of the questions to a database of this name."""
    return rng.choice(TEMPLATES[name])(rng)


def _shop_products_of_kind(rng: random.Random) -> Question:
    kind, price = rng.choice(("kitchen", "office", "living")), rng.randint(20, 150)
    return Question(
        f"Which {kind} products cost more than {price}? List their names and prices, the dearest first.",
        f"SELECT name, price FROM products WHERE kind = '{kind}' AND price > {price} ORDER BY price DESC, name",
        "easy",
    )


def _shop_orders_per_city(rng: random.Random) -> Question:
    return Question(
        "How many orders came from each city? List city and number; leave out cities without orders.",
        "SELECT c.city, COUNT(*) FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY c.city",
        "medium",
    )


def _shop_turnover(rng: random.Random) -> Question:
    year = rng.randint(2021, 2024)
    return Question(
        f"What was the turnover of each kind of product in {year} (price times quantity)? List kind and turnover.",
        "SELECT p.kind, SUM(p.price * i.quantity) FROM order_items i JOIN products p ON p.id = i.product_id "
        f"JOIN orders o ON o.id = i.order_id WHERE o.ordered_on LIKE '{year}-%' GROUP BY p.kind",
        "medium",
    )


def _shop_never_ordered(rng: random.Random) -> Question:
    return Question(
        "Which customers never ordered anything? List their names.",
        "SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)",
        "hard",
    )


def _shop_above_average(rng: random.Random) -> Question:
    return Question(
        "Which products cost more than the average product of their kind? List name and kind.",
        "SELECT p.name, p.kind FROM products p "
        "WHERE p.price > (SELECT AVG(q.price) FROM products q WHERE q.kind = p.kind)",
        "hard",
    )


def _library_long_books(rng: random.Random) -> Question:
    pages = rng.randint(200, 500)
    return Question(
        f"How many books have more than {pages} pages?", f"SELECT COUNT(*) FROM books WHERE pages > {pages}", "easy"
    )


def _library_loans_per_genre(rng: random.Random) -> Question:
    return Question(
        "How often was each genre lent? List genre and number, the most lent first, then by name.",
        "SELECT b.genre, COUNT(*) AS lent FROM loans l JOIN books b ON b.id = l.book_id GROUP BY b.genre "
        "ORDER BY lent DESC, b.genre",
        "medium",
    )


def _library_open_loans(rng: random.Random) -> Question:
    city = rng.choice(CITIES)
    return Question(
        f"Which books are out with members from {city} (days_kept is not known)? List each title once.",
        "SELECT DISTINCT b.title FROM loans l JOIN books b ON b.id = l.book_id JOIN members m ON m.id = l.member_id "
        f"WHERE l.days_kept IS NULL AND m.city = '{city}'",
        "medium",
    )


def _library_busiest_author(rng: random.Random) -> Question:
    count = rng.randint(2, 4)
    return Question(
        f"Which authors have more than {count} books here? List name and number of books.",
        "SELECT a.name, COUNT(*) FROM authors a JOIN books b ON b.author_id = a.id GROUP BY a.id, a.name "
        f"HAVING COUNT(*) > {count}",
        "medium",
    )


def _library_longest_of_genre(rng: random.Random) -> Question:
    return Question(
        "What is the longest book of each genre? List genre and title; all of them where several are as long.",
        "SELECT b.genre, b.title FROM books b "
        "WHERE b.pages = (SELECT MAX(c.pages) FROM books c WHERE c.genre = b.genre)",
        "hard",
    )


def _flights_from(rng: random.Random) -> Question:
    city = rng.choice(CITIES)
    return Question(
        f"How many flights leave from {city}?",
        f"SELECT COUNT(*) FROM flights f JOIN airports a ON a.code = f.origin WHERE a.city = '{city}'",
        "medium",
    )


def _flights_cheap(rng: random.Random) -> Question:
    price = rng.randint(100, 400)
    return Question(
        f"What is the number and the average length in minutes of flights below {price}?",
        f"SELECT COUNT(*), AVG(minutes) FROM flights WHERE price < {price}",
        "easy",
    )


def _flights_seats_per_airline(rng: random.Random) -> Question:
    return Question(
        "How many seats were booked with each airline? List name and seats; leave out airlines without bookings.",
        "SELECT a.name, SUM(b.seats) FROM bookings b JOIN flights f ON f.id = b.flight_id "
        "JOIN airlines a ON a.id = f.airline_id GROUP BY a.name",
        "medium",
    )


def _flights_unbooked(rng: random.Random) -> Question:
    return Question(
        "Which flights were never booked? List id, origin and destination, by id.",
        "SELECT id, origin, destination FROM flights WHERE id NOT IN (SELECT flight_id FROM bookings) ORDER BY id",
        "hard",
    )


def _clinic_patients(rng: random.Random) -> Question:
    year = rng.randint(1960, 2005)
    return Question(
        f"Which patients were born before {year}? List names and years, the oldest first, then by name.",
        f"SELECT name, born FROM patients WHERE born < {year} ORDER BY born, name",
        "easy",
    )


def _clinic_income(rng: random.Random) -> Question:
    field = rng.choice(("cardiology", "dermatology", "neurology", "paediatrics"))
    return Question(
        f"What did visits in {field} cost altogether, per reason? List reason and sum.",
        "SELECT v.reason, SUM(v.cost) FROM visits v JOIN doctors d ON d.id = v.doctor_id "
        f"WHERE d.field = '{field}' GROUP BY v.reason",
        "medium",
    )


def _clinic_dear_visits(rng: random.Random) -> Question:
    return Question(
        "Which visits cost more than twice the average of all visits? List id and cost.",
        "SELECT id, cost FROM visits WHERE cost > 2 * (SELECT AVG(cost) FROM visits)",
        "hard",
    )


def _clinic_faithful(rng: random.Random) -> Question:
    return Question(
        "Which patients saw one doctor only, though they came more than once? List their names.",
        "SELECT p.name FROM patients p JOIN visits v ON v.patient_id = p.id GROUP BY p.id, p.name "
        "HAVING COUNT(*) > 1 AND COUNT(DISTINCT v.doctor_id) = 1",
        "hard",
    )


TEMPLATES: dict[str, tuple[Template, ...]] = {
    "shop": (
        _shop_products_of_kind,
        _shop_orders_per_city,
        _shop_turnover,
        _shop_never_ordered,
        _shop_above_average,
    ),
    "library": (
        _library_long_books,
        _library_loans_per_genre,
        _library_open_loans,
        _library_busiest_author,
        _library_longest_of_genre,
    ),
    "flights": (_flights_from, _flights_cheap, _flights_seats_per_airline, _flights_unbooked),
    "clinic": (_clinic_patients, _clinic_income, _clinic_dear_visits, _clinic_faithful),
}

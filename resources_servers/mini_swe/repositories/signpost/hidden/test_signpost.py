import unittest

from signpost import NoRoute, Pattern, Router, parse_query, write_query


class PatternTest(unittest.TestCase):
    def test_values(self):
        """Values are taken out of a path by name, whole numbers as numbers."""
        self.assertEqual(
            Pattern("/users/<int:id>/posts/<slug>").match("/users/7/posts/hello"), {"id": 7, "slug": "hello"}
        )
        self.assertEqual(Pattern("/").match("/"), {})

    def test_no_match(self):
        """A path with other fixed segments, or with more or fewer of them, does not fit."""
        pattern = Pattern("/users/<id>")
        for path in ("/user/7", "/users", "/users/7/x", "/users/"):
            self.assertIsNone(pattern.match(path))

    def test_int(self):
        """`int` takes digits only: no sign, no letters, nothing empty, no other scripts."""
        pattern = Pattern("/<int:n>")
        for path in ("/-1", "/1a", "/", "/1.0", "/\u0663"):
            self.assertIsNone(pattern.match(path))
        self.assertEqual(pattern.match("/007"), {"n": 7})

    def test_path(self):
        """`path` takes the rest with all its slashes, at least one character."""
        pattern = Pattern("/files/<path:name>")
        self.assertEqual(pattern.match("/files/a/b/c.txt"), {"name": "a/b/c.txt"})
        self.assertEqual(pattern.match("/files/a"), {"name": "a"})
        self.assertIsNone(pattern.match("/files/"))
        self.assertIsNone(pattern.match("/files"))

    def test_escapes(self):
        """Escaped characters are decoded after the path was cut, so that `%2F` is no separator."""
        self.assertEqual(Pattern("/tags/<tag>").match("/tags/a%2Fb%20c"), {"tag": "a/b c"})
        self.assertEqual(Pattern("/caf\u00e9").match("/caf%C3%A9"), {})

    def test_bad_patterns(self):
        """Patterns without a first slash, with a name twice, an unknown kind, or a path before the end are refused."""
        for text in ("users", "/<a>/<a>", "/<float:x>", "/<path:x>/y", "/<int:>", "/<1x>"):
            with self.assertRaises(ValueError):
                Pattern(text)


class RouterTest(unittest.TestCase):
    def routes(self):
        routes = Router("/api/")
        routes.add("/<path:rest>", "other")
        routes.add("/users/<name>", "user_by_name")
        routes.add("/users/<int:id>", "user", ["GET", "put"])
        routes.add("/users/me", "me")
        routes.add("/users/<int:id>", "remove", ["DELETE"])
        return routes

    def found(self, path, method="GET"):
        return self.routes().match(path, method).name

    def test_order(self):
        """Fixed segments go before numbers, numbers before text, text before the rest of a path."""
        self.assertEqual(self.found("/api/users/me"), "me")
        self.assertEqual(self.found("/api/users/7"), "user")
        self.assertEqual(self.found("/api/users/ada"), "user_by_name")
        self.assertEqual(self.found("/api/users/ada/x"), "other")

    def test_methods(self):
        """A route answers its own methods only, in upper or lower case; without any it answers GET."""
        self.assertEqual(self.found("/api/users/7", "delete"), "remove")
        self.assertEqual(self.found("/api/users/7", "PUT"), "user")
        with self.assertRaises(NoRoute):
            self.found("/api/users/me", "POST")

    def test_allowed(self):
        """Where only the method does not fit, `NoRoute.allowed` lists the methods of all patterns that would fit."""
        with self.assertRaises(NoRoute) as caught:
            self.found("/api/users/7", "PATCH")
        self.assertEqual(caught.exception.allowed, ["DELETE", "GET", "PUT"])
        with self.assertRaises(NoRoute) as caught:
            self.found("/elsewhere")
        self.assertEqual(caught.exception.allowed, [])

    def test_slash_at_the_end(self):
        """A slash at the end of a path does not matter; the root is found, too."""
        self.assertEqual(self.found("/api/users/me/"), "me")
        routes = Router()
        routes.add("/", "root")
        self.assertEqual(routes.match("/").name, "root")
        self.assertEqual(routes.match("//").name, "root")

    def test_prefix(self):
        """The prefix stands before every pattern, with exactly one slash between."""
        self.assertEqual(self.routes().path("me"), "/api/users/me")
        with self.assertRaises(NoRoute):
            self.found("/users/me")


class BuildTest(unittest.TestCase):
    def test_path(self):
        """Paths are written from names and values, and can be matched again."""
        routes = Router()
        routes.add("/files/<int:owner>/<path:name>", "file")
        path = routes.path("file", owner="7", name="a b/c?d")
        self.assertEqual(path, "/files/7/a%20b/c%3Fd")
        self.assertEqual(routes.match(path).values, {"owner": 7, "name": "a b/c?d"})

    def test_slash_in_text(self):
        """A slash within a text value is escaped, so that the value stays one segment."""
        self.assertEqual(Pattern("/tags/<tag>").path({"tag": "a/b"}), "/tags/a%2Fb")

    def test_wrong_values(self):
        """Missing, additional, empty and unfitting values are refused."""
        pattern = Pattern("/<int:a>/<b>")
        for values in ({"a": 1}, {"a": 1, "b": "x", "c": 2}, {"a": 1, "b": ""}, {"a": "x", "b": "y"}, {}):
            with self.assertRaises(ValueError):
                pattern.path(values)

    def test_several_patterns(self):
        """Of a handler's patterns the one is used that takes exactly the given values."""
        routes = Router()
        routes.add("/list/<int:page>", "list")
        routes.add("/list", "list")
        self.assertEqual(routes.path("list"), "/list")
        self.assertEqual(routes.path("list", page=2), "/list/2")
        for name, values in (("list", {"x": 1}), ("nothing", {})):
            with self.assertRaises(NoRoute):
                routes.path(name, **values)


class QueryTest(unittest.TestCase):
    def test_parse(self):
        """Values are lists in order of appearance; names without `=` have the value ""; empty parts are left out."""
        self.assertEqual(parse_query("?a=1&b=2&a=3&&c"), {"a": ["1", "3"], "b": ["2"], "c": [""]})
        self.assertEqual(parse_query(""), {})

    def test_parse_escapes(self):
        """Escapes and plus signs are decoded, and only the first `=` separates."""
        self.assertEqual(parse_query("full+name=a%26b=c"), {"full name": ["a&b=c"]})

    def test_write(self):
        """Lists give a part for each item, None gives none, 0 and "" are written."""
        self.assertEqual(
            write_query({"a": [1, 2], "b": None, "c": 0, "d": "", "e f": "x&y", "g": (3, None)}),
            "a=1&a=2&c=0&d=&e+f=x%26y&g=3",
        )
        self.assertEqual(write_query({}), "")

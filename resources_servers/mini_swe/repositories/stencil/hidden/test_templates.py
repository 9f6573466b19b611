import unittest

from stencil import StencilError, Template, render


class ValueTest(unittest.TestCase):
    def test_paths(self):
        """A path with points looks into dicts, lists and tuples."""
        values = {"a": {"b": [{"c": 1}, {"c": 2}]}, "t": (5, 6)}
        self.assertEqual(render("{{ a.b.1.c }}{{a.b.0.c}} {{ t.1 }}", values), "21 6")

    def test_missing(self):
        """A value that is not there is an error with the number of its line; None is written as nothing."""
        for text in ("x\n\n{{ a.b }}", "x\ny\n{{ list.2 }}", "\n\n{% for x in nothing %}{% end %}"):
            with self.assertRaises(StencilError) as caught:
                render(text, {"a": {}, "list": [1, 2]})
            self.assertEqual(caught.exception.line, 3)
        self.assertEqual(render("[{{ a }}]", {"a": None}), "[]")

    def test_falsy(self):
        """0 and False are written like any other value."""
        self.assertEqual(render("{{ a }} {{ b }}", {"a": 0, "b": False}), "0 False")

    def test_text(self):
        """Text around the tags stays as it is, comments are left out, and single braces mean nothing."""
        self.assertEqual(render(" a{# no\nthing #} b\n{ c } % ", {}), " a b\n{ c } % ")

    def test_escape(self):
        """With `escape`, values are made safe for HTML, but not the text around them or what `raw` filters."""
        values = {"x": '<a href="\'&">'}
        self.assertEqual(render("<b>{{ x }}</b>", values, escape=True), "<b>&lt;a href=&quot;&#39;&amp;&quot;&gt;</b>")
        self.assertEqual(render("{{ x|raw }}", values, escape=True), values["x"])
        self.assertEqual(render("{{ x }}", values), values["x"])


class FilterTest(unittest.TestCase):
    def test_chain(self):
        """Filters are applied from left to right."""
        self.assertEqual(render("{{ a|join:-|upper }}", {"a": ["x", "y"]}), "X-Y")
        self.assertEqual(render("{{ a | upper | truncate:4 }}", {"a": "lengthy"}), "LEN…")
        self.assertEqual(render("{{ a|lower|title }}", {"a": "ADA o'NEIL"}), "Ada O'neil")

    def test_truncate(self):
        """`truncate:n` leaves a text of n characters alone, and makes a longer one exactly n characters long."""
        self.assertEqual(render("{{ a|truncate:5 }}", {"a": "12345"}), "12345")
        self.assertEqual(render("{{ a|truncate:5 }}", {"a": "123456"}), "1234…")

    def test_default(self):
        """`default` stands in for what is missing, None or empty, but not for 0."""
        text = "{{ a|default:none }}"
        self.assertEqual(render(text, {}), "none")
        self.assertEqual(render(text, {"a": None}), "none")
        self.assertEqual(render(text, {"a": ""}), "none")
        self.assertEqual(render(text, {"a": 0}), "0")
        self.assertEqual(render("{{ a.b|default:x|upper }}", {"a": {}}), "X")

    def test_title(self):
        """`title` raises the first letter of each word and leaves the others alone."""
        self.assertEqual(render("{{ a|title }}", {"a": "mcDonald's big  house"}), "McDonald's Big  House")

    def test_length_and_join(self):
        """`length` counts, and `join` takes ", " where nothing else is said."""
        self.assertEqual(render("{{ a|length }}: {{ a|join }}", {"a": [1, 2, 3]}), "3: 1, 2, 3")

    def test_unknown(self):
        """A filter that does not exist is an error with the number of its line."""
        with self.assertRaises(StencilError) as caught:
            render("x\n{{ a|upper|shout }}", {"a": 1})
        self.assertEqual(caught.exception.line, 2)


class BlockTest(unittest.TestCase):
    def test_if(self):
        """`if` takes its first part for true values, the part after `else` for others, missing ones too."""
        text = "{% if a %}yes{% else %}no{% end %}"
        answers = [render(text, values) for values in ({"a": 1}, {"a": 0}, {"a": []}, {"a": "x"}, {})]
        self.assertEqual(answers, ["yes", "no", "no", "yes", "no"])

    def test_if_not(self):
        """`if not` turns the choice round."""
        text = "{% if not a %}none{% end %}"
        self.assertEqual([render(text, {"a": value}) for value in ([], [1])], ["none", ""])

    def test_nested(self):
        """Blocks can stand in each other; an `else` and an `end` belong to the innermost one."""
        text = "{% if a %}{% if b %}1{% else %}2{% end %}{% else %}3{% end %}4"
        choices = [render(text, {"a": a, "b": b}) for a in (1, 0) for b in (1, 0)]
        self.assertEqual(choices, ["14", "24", "34", "34"])

    def test_for(self):
        """`for` repeats its body for each item, and `loop` tells number, first and last."""
        text = "{% for x in list %}{{ loop.number }}{{ x.n }}{% if not loop.last %}, {% end %}{% end %}"
        self.assertEqual(render(text, {"list": [{"n": "a"}, {"n": "b"}, {"n": "c"}]}), "1a, 2b, 3c")
        text = "{% for x in list %}{% if loop.first %}<{% end %}{{ x }}{% end %}"
        self.assertEqual(render(text, {"list": [7, 8]}), "<78")

    def test_for_else(self):
        """The part after `else` of a `for` is taken where there are no items."""
        text = "{% for x in list %}{{ x }}{% else %}empty{% end %}"
        self.assertEqual([render(text, {"list": items}) for items in ([], [1])], ["empty", "1"])

    def test_scope(self):
        """Names of a `for` are known within it only, and hide others of the same name no longer than that."""
        text = "{% for x in a %}{% for x in b %}{{ x }}{% end %}{{ x }}{{ loop.number }}{% end %}{{ x }}"
        self.assertEqual(render(text, {"a": [1, 2], "b": "yz", "x": "!"}), "yz11yz22!")
        with self.assertRaises(StencilError):
            render("{% for x in a %}{% end %}{{ x }}", {"a": [1]})

    def test_again(self):
        """A template can be filled again with other values."""
        template = Template("{% for x in a %}{{ x }}{% end %}")
        self.assertEqual([template.render({"a": "xy"}), template.render({"a": "z"})], ["xy", "z"])

    def test_mistakes(self):
        """Blocks that are not ended or not begun, and unknown tags, are errors with the number of their line."""
        cases = (("a\n{% if x %}\n", 2), ("\n\n{% end %}", 3), ("{% else %}", 1), ("\n{% while x %}", 2))
        cases += (("{% for x in y %}\n{% if z %}{% end %}", 1), ("{% if x %}{% else %}\n{% else %}{% end %}", 2))
        cases += (("{{ a }}\n{% for x %}{% end %}", 2),)
        for text, line in cases:
            with self.assertRaises(StencilError) as caught:
                render(text, {"a": 1})
            self.assertEqual(caught.exception.line, line)

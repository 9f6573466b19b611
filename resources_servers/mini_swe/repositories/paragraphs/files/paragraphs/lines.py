"""Words put into lines."""


def wrap(text, width, first="", rest=""):
    """Lines of at most `width` characters, broken between words.

    `first` begins the first line and `rest` all others; they count. A word that is longer than a line is cut.
    """
    if width <= max(len(first), len(rest)):
        raise ValueError("no room for text beside the prefixes")
    lines = []
    line = first
    empty = True
    for word in text.split():
        if not empty and len(line) + 1 + len(word) > width:
            lines.append(line)
            line, empty = rest, True
        while len(word) > width - len(line) and empty:
            room = width - len(line)
            lines.append(line + word[:room])
            word, line = word[room:], rest
        if word:
            line += word if empty else " " + word
            empty = False
    if not empty:
        lines.append(line)
    return lines


def fill(text, width):
    """Every paragraph wrapped; what separates paragraphs, one or more empty lines, becomes exactly one."""
    paragraphs, current = [], []
    for line in [*text.split("\n"), ""]:
        if line.strip():
            current.append(line)
        elif current:
            paragraphs.append("\n".join(wrap(" ".join(current), width)))
            current = []
    return "\n\n".join(paragraphs)


def justify(line, width):
    """The line made `width` long by more spaces between its words; gaps to the left get one more if needed."""
    words = line.split()
    if len(words) < 2:
        return line.strip()
    spaces = width - sum(len(word) for word in words)
    gaps = len(words) - 1
    if spaces < gaps:
        return " ".join(words)
    each, more = divmod(spaces, gaps)
    text = words[0]
    for number, word in enumerate(words[1:]):
        text += " " * (each + (number < more)) + word
    return text


def indent(text, prefix):
    """Each line with the prefix before it, except lines without text."""
    return "\n".join(prefix + line if line.strip() else line for line in text.split("\n"))


def dedent(text):
    """The text without the spaces with which all its lines begin; lines without text do not count and become empty."""
    lines = text.split("\n")
    margins = [len(line) - len(line.lstrip(" ")) for line in lines if line.strip()]
    margin = min(margins, default=0)
    return "\n".join(line[margin:] if line.strip() else "" for line in lines)

"""Text from elsewhere, made visible: it may reach a log or a screen, never steer it."""


def visible(text: str) -> str:
    """`text` with every character that does not print (control, bidi, zero width) as an escape."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )

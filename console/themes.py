"""Colours: dark, light, high contrast, and the terminal's own sixteen.

The sheet names roles only ($error, $primary-muted, ...); a theme says what they look like.
"""

from textual.theme import BUILTIN_THEMES, Theme

from console.settings import ThemeName

DARK = Theme(
    name="tidehold-dark",
    primary="#4C9BE8",
    secondary="#7AA2C8",
    accent="#6FC3DF",
    warning="#F2B134",
    error="#F0625D",
    success="#5CC98A",
    foreground="#DDE3EA",
    background="#11161C",
    surface="#161C24",
    panel="#222B36",
    dark=True,
)
LIGHT = Theme(
    name="tidehold-light",
    primary="#1C5FA8",
    secondary="#44678A",
    accent="#0B6E8C",
    warning="#9A5B00",
    error="#B3261E",
    success="#1B7A43",
    foreground="#1B2430",
    background="#F4F6F8",
    surface="#FFFFFF",
    panel="#E1E7ED",
    dark=False,
)
CONTRAST = Theme(
    name="tidehold-contrast",
    primary="#00D7FF",
    secondary="#FFFFFF",
    accent="#FFFF00",
    warning="#FFD700",
    error="#FF5F5F",
    success="#5FFF5F",
    foreground="#FFFFFF",
    background="#000000",
    surface="#000000",
    panel="#303030",
    dark=True,
    variables={"text-muted": "#E0E0E0"},
)
OWN = (DARK, LIGHT, CONTRAST)
NAMES: dict[ThemeName, str] = {
    "dark": DARK.name,
    "light": LIGHT.name,
    "ansi": "ansi-dark",
    "contrast": CONTRAST.name,
}
assert NAMES["ansi"] in BUILTIN_THEMES


def after(name: str) -> str:
    """The next one in turn."""
    names = list(NAMES.values())
    return names[(names.index(name) + 1) % len(names)] if name in names else names[0]

"""The console in a browser: textual-serve's script and wire, behind a front that checks."""
